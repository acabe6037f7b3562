# what: files served over a socket, a log, a reload
# packages: nginx-light curl
# ignore: log$
# prepare
mkdir www; echo hello >www/index.html
# run
cat >conf <<END
daemon off; pid $PWD/pid; error_log $PWD/error.log; events {}
http { access_log $PWD/access.log; server { listen unix:$PWD/s; root $PWD/www; }
client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5; }
END
[ $(id -u) != 0 ] || sed -i '1s/^/user root; /' conf
nginx -c $PWD/conf -e $PWD/error.log & pid=$!; for i in $(seq 100); do [ -S s ] && [ -s pid ] && break; sleep 0.1; done
curl -s --unix-socket s http://x/; echo changed >www/index.html; nginx -c $PWD/conf -e $PWD/error.log -s reload; curl -s --unix-socket s http://x/
curl -s -o /dev/null -w '%{http_code}\n' --unix-socket s http://x/none; kill -QUIT $pid; wait $pid || :; wc -l <access.log; rm -rf conf t? s *.log

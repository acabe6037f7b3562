# what: pages made by Sphinx and by Doxygen
# packages: python3-sphinx doxygen
# timeout: 300
# ignore: ^(b|html)(/|$)
# prepare
echo 'project = "p"' >conf.py; printf 'Title\n=====\n\nText.\n' >index.rst; printf '/** It is f. */\nint f(int x);\n' >f.h; printf 'PROJECT_NAME=p\nGENERATE_LATEX=NO\nQUIET=YES\n' >Doxyfile
# run
python3 -m sphinx -q -b html . b; ls b/*.html | sort; grep -c Text b/index.html; doxygen Doxyfile 2>/dev/null; ls html | grep -c f_8h; rm -rf b html

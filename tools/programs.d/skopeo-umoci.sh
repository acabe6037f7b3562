# what: an image layout made, changed and copied
# packages: skopeo umoci
# users: root
# prepare
mkdir rootfs; echo a >rootfs/a
# run
umoci init --layout img; umoci new --image img:one; umoci insert --image img:one rootfs /data; skopeo --insecure-policy copy -q oci:img:one dir:out; ls out | grep -c . ; umoci unpack --rootless --image img:one b 2>/dev/null; cat b/rootfs/data/a; rm -rf img out b

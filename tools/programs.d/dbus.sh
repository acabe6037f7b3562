# what: a session bus on a socket and a call
# packages: dbus dbus-bin
# run
dbus-run-session -- sh -c 'dbus-send --session --print-reply=literal --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames | wc -w; echo ok'

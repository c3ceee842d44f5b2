# The session init of this user, for shells: initctl finds it through UPSTART_SESSION, programs their files through XDG_RUNTIME_DIR.

if [ -z "${XDG_RUNTIME_DIR:-}" ] && [ -O "/run/user/$(id -u)" ]; then
    XDG_RUNTIME_DIR=/run/user/$(id -u)
    export XDG_RUNTIME_DIR
fi
if [ -z "${UPSTART_SESSION:-}" ] && [ -n "${XDG_RUNTIME_DIR:-}" ]; then
    for stayup_file in "$XDG_RUNTIME_DIR"/upstart/sessions/*.session; do
        if [ -r "$stayup_file" ]; then
            UPSTART_SESSION=$(sed -n 's/^UPSTART_SESSION=//p' "$stayup_file")
            export UPSTART_SESSION
        fi
    done
    unset stayup_file
fi

# The first process of a container for several commands: it is handed one after the other by
# standard input, which costs a fork where the daemon's own `exec` costs a process of its own in
# three programs. POSIX, and builtins only but for `rm` and `sleep`, as `command.sh`.
#
# A request is three lines: a mark and letters as in `command.sh`; what sets the variables, and
# the command, both for `printf %b`. When the command and all that it left running have ended,
# mark and exit code are printed to both of its channels, behind a record separator.
exec 3>&2 2>/dev/null
# Elsewhere than in a container of its own, all below would hurt.
[ $$ = 1 ] || exit 125
umask 022

# What a command left running: all but commands from outside, whose parent is 0. Where there are
# such, it is what is of this session, and what has lost its parent.
left() {
    hm_found= hm_alone=1
    for hm_pid in /proc/[0-9]*; do
        hm_pid=${hm_pid#/proc/}
        [ "$hm_pid" = 1 ] && continue
        read -r hm_stat <"/proc/$hm_pid/stat" || continue
        IFS=' '
        set -- ${hm_stat##*) }
        case $1 in Z | X) continue ;; esac
        if [ "$2" = 0 ]; then
            hm_alone=0
        elif [ "$2" = 1 ] || [ "$4" = 1 ]; then
            hm_found="$hm_found $hm_pid"
        fi
    done
    [ "$hm_found" ]
}

# Empties what must be fresh, if there is anything.
renew() {
    set -- /run/* /run/.[!.]* /run/..?* /dev/shm/* /dev/shm/.[!.]* /dev/shm/..?*
    for hm_file; do
        if [ -e "$hm_file" ] || [ -h "$hm_file" ]; then
            rm -rf "$@"
            return
        fi
    done
}

# Each command gets its channels opened anew: what one sets on them, not to block say, would be
# the next one's too. Where that cannot be had, commands are better run from outside.
if (exec 4>/proc/self/fd/1 5>/proc/self/fd/3); then
    printf '\036ready\n'
else
    printf '\036not so\n'
    exec </dev/null
fi
while IFS=' ' read -r hm_mark hm_letters && IFS= read -r hm_variables && IFS= read -r hm_command; do
    case $hm_letters in *a*) renew ;; esac
    # In a shell of its own, or some would say on its stderr how it was killed.
    (
        # The dots keep line ends that `$()` would take.
        hm_variables=$(printf '%b.' "$hm_variables") hm_command=$(printf '%b.' "$hm_command")
        exec </dev/null >/proc/self/fd/1 4>/proc/self/fd/3 3>&-
        case $hm_letters in
        *h*) unset HOSTNAME ;;
        esac
        eval "${hm_variables%.}"
        cd /workspace || exit 126
        unset OLDPWD PWD SHLVL
        exec /bin/sh -c "${hm_command%.}" sh 2>&4 4>&-
    )
    hm_code=$?
    hm_variables= hm_command= hm_look=0
    # A quarter of a second to end by itself, as in `command.sh`.
    while left && [ $hm_look -lt 100 ]; do
        if [ $hm_look -ge 5 ]; then
            if [ $hm_alone = 1 ]; then kill -9 -1; else kill -9 $hm_found; fi
        fi
        hm_look=$((hm_look + 1))
        sleep 0.05 || sleep 1
    done
    printf '\036%s %03d\n' "$hm_mark" "$hm_code"
    printf '\036%s %03d\n' "$hm_mark" "$hm_code" >&3
done
# Whoever asks runs commands from outside from here on.
while :; do sleep 1000; done

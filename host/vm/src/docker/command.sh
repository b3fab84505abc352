# Stands around the command of a step. POSIX, and builtins only but for `rm` and `sleep`:
# images have little else in common.
#
# $1 holds letters: `a` if other commands came before, so that what must be fresh is to be
# emptied; `h` if HOSTNAME is docker's own; `e` if variables come by standard input, where no
# list of processes and no commit shows them; `o` if the first process runs a command, of which
# nothing may be killed. $2 is the command.
exec 3>&2 2>/dev/null
# Where the first process is not one of hm's this is no machine, and all below would hurt.
hm_line=
read -r hm_line </proc/1/cmdline
case $hm_line in
*hm-machine*) ;;
*) exit 125 ;;
esac
# Asked to end, the command does; this goes on to tell how.
trap : TERM
case $1 in
*a*) rm -rf /run/* /run/.[!.]* /run/..?* /dev/shm/* /dev/shm/.[!.]* /dev/shm/..?* ;;
esac
case $1 in
*h*) unset HOSTNAME ;;
esac
hm_only=1
case $1 in
*o*) hm_only=0 ;;
esac
case $1 in
*e*)
    while IFS= read -r hm_line && [ "$hm_line" != . ]; do
        # The dot keeps line ends that `$()` would take.
        hm_pair=$(printf '%b.' "$hm_line")
        export "${hm_pair%.}"
    done
    exec </dev/null
    ;;
esac
hm_command=$2
unset OLDPWD PWD SHLVL
umask 022
# In a shell of its own, or some would say on its stderr how it was killed.
(exec /bin/sh -c "$hm_command" sh 2>&3 3>&-)
hm_code=$?
exec 3>&-

# Finds what the command left running. As the container's first process, that is all but
# other commands from outside, whose parent is 0. Otherwise it is what is of this session, and
# what has lost its parent; session 1 is the container's own.
left() {
    hm_found= hm_alone=$hm_only
    for hm_pid in /proc/[0-9]*; do
        hm_pid=${hm_pid#/proc/}
        case $hm_pid in 1 | $$) continue ;; esac
        read -r hm_stat <"/proc/$hm_pid/stat" || continue
        IFS=' '
        set -- ${hm_stat##*) }
        case $1 in Z | X) continue ;; esac
        if [ "$2" = 0 ]; then
            hm_alone=0
        elif [ $$ = 1 ] || [ "$4" = $$ ]; then
            hm_found="$hm_found $hm_pid"
        elif [ "$2" = 1 ] && [ "$4" != 1 ]; then
            hm_found="$hm_found $hm_pid"
        fi
    done
    [ "$hm_found" ]
}

# A quarter of a second to end by itself. After that the first process just ends, and all
# others with it; another one kills them, without a gap where it is the only one.
hm_look=0
while left && [ $hm_look -lt 100 ]; do
    if [ $hm_look -ge 5 ]; then
        [ $$ = 1 ] && break
        if [ $hm_alone = 1 ]; then kill -9 -1; else kill -9 $hm_found; fi
    fi
    hm_look=$((hm_look + 1))
    sleep 0.05 || sleep 1
done
exit $hm_code

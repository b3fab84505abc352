# Asks a command to end, or makes it, from outside of it. $1 is the mark of the process that
# stands around it, or 1 if that is the first process; $2 is TERM or KILL; $3 is `o` if other
# commands run that are the first process's.
exec 2>/dev/null
# Kills nothing where the first process is not one of hm's: then this is no machine.
hm_line=
read -r hm_line </proc/1/cmdline
case $hm_line in
*hm-machine*) ;;
*) exit 1 ;;
esac
hm_around= hm_alone=1
[ "$1" = 1 ] && hm_around=1
[ "$3" = o ] && hm_alone=0
for hm_pid in /proc/[0-9]*; do
    hm_pid=${hm_pid#/proc/}
    [ "$hm_pid" = $$ ] && continue
    read -r hm_stat <"/proc/$hm_pid/stat" || continue
    set -- "$1" "$2" "$3" ${hm_stat##*) }
    # From outside: this one, the one that is looked for, others like it.
    [ "$5" = 0 ] || continue
    hm_line=
    read -r hm_line <"/proc/$hm_pid/cmdline"
    case $1,$hm_pid,$hm_line in
    1,1,*) ;;
    1,*) hm_alone=0 ;;
    *,*,*"$1"*) hm_around=$hm_pid ;;
    *,1,*) ;;
    *) hm_alone=0 ;;
    esac
done
[ "$hm_around" ] || exit 0
if [ "$2" = KILL ] && [ $hm_alone = 1 ]; then
    kill -9 -1
    exit 0
fi
hm_found=
for hm_pid in /proc/[0-9]*; do
    hm_pid=${hm_pid#/proc/}
    case $hm_pid in 1 | $$ | $hm_around) continue ;; esac
    read -r hm_stat <"/proc/$hm_pid/stat" || continue
    set -- "$1" "$2" "$3" ${hm_stat##*) }
    if [ "$7" = "$hm_around" ]; then
        hm_found="$hm_found $hm_pid"
    elif [ "$2" = KILL ] && [ "$5" = 1 ] && [ "$7" != 1 ]; then
        hm_found="$hm_found $hm_pid"
    fi
done
kill -"$2" $hm_found
[ "$2" = KILL ] && kill -9 $hm_around
exit 0

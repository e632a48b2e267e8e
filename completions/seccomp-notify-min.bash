# Completions of seccomp-notify-min for bash(1), as seccomp-notify-min in /usr/share/bash-completion/completions or read by
# `source`. Needs nothing but bash.

_seccomp_notify_min() {
    local word=${COMP_WORDS[COMP_CWORD]} wants= found i
    COMPREPLY=()

    # What the words before this one leave open: an option that takes the next one as its value, or the end
    # of all options.
    for ((i = 1; i < COMP_CWORD; i++)); do
        case $wants:${COMP_WORDS[i]} in
            [dbf]:*) wants= ;;
            :--)
                wants=directories
                break
                ;;
            :-*[dbf]) [[ ${COMP_WORDS[i]} =~ ^-[cKpw]*([dbf])$ ]] && wants=${BASH_REMATCH[1]} ;;
        esac
    done

    case $wants:$word in
        f:*) COMPREPLY=($(compgen -W 'e t' -- "$word")) ;;
        [db]:*) ;; # a number
        :-*) COMPREPLY=($(compgen -W '-b -c -d -f -h --help -K -p -V --version -w' -- "$word")) ;;
        *)
            # Names of files are quoted where they need it. Fails where no completion is going on.
            compopt -o filenames 2>/dev/null
            found=$(compgen -d -- "$word"; compgen -W /bye -- "$word")
            [[ $found ]] && mapfile -t COMPREPLY <<<"$found"
            ;;
    esac
}

complete -F _seccomp_notify_min seccomp-notify-min

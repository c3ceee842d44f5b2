# Completion of init-history for bash. Commands and options are what the program says with --help.

_init_history() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word words
    COMPREPLY=()
    case $previous in
    --journal | --archive | --logdir) return ;;
    --boot | --since | --until | --lines | --max-age | --max-size) return ;;
    esac
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in
        history | log | metrics | crashes | crash-report | boots) command=$word ;;
        esac
    done
    if [[ $current == -* ]]; then
        words=$(init-history $command --help 2>/dev/null |
            sed -n -E 's/^ +(-., )?(--[a-z-]+).*/\1\2/p' | tr ', ' '\n\n')
    elif [ -z "$command" ]; then
        words=$(init-history --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z-]*\) .*/\1/p')
    elif [ "$command" = history ] || [ "$command" = log ]; then
        words=$(initctl list 2>/dev/null | sed -n 's/^\([^ \t][^ ]*\) .*/\1/p' | sort -u)
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}

complete -o default -F _init_history init-history

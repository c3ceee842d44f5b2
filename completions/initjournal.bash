# Completion of initjournal for bash. Commands and options are what the program says with --help.

_initjournal() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
    COMPREPLY=()
    case $previous in
    -j | --journal | import | export | cut | flip) return ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$(initjournal --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
    elif [[ $current == -* ]]; then
        words=$(initjournal "$command" --help 2>/dev/null |
            sed -n -E 's/^ +(-., )?(--[a-z]+).*/\1\2/p' | tr ', ' '\n\n')
    elif [ "$command" = why ] || [ "$previous" = --job ]; then
        words=$(initjournal state 2>/dev/null | sed -n 's/^\([^ \t][^ ]*\) .*/\1/p' | sort -u)
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}

complete -o default -F _initjournal initjournal

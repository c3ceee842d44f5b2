# Completion of stayup-crashlab for bash. Commands and options are what the program says with --help; each option says for which
# commands it is.

_stayup_crashlab() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]} words
    COMPREPLY=()
    # `--confdir=DIR` is three words to bash.
    [ "$current" = = ] && current=
    [ "$previous" = = ] && previous=${COMP_WORDS[COMP_CWORD - 2]}
    case $previous in
    --confdir)
        COMPREPLY=($(compgen -d -- "$current"))
        return
        ;;
    --seed | --seeds | --crashes | --minutes | --threads | --kills) return ;;
    esac
    if [ "$COMP_CWORD" -eq 1 ]; then
        words=$(stayup-crashlab --help 2>/dev/null | sed -n -E 's/^(Usage:|      ) stayup-crashlab ([a-z-]+) .*/\2/p')
    elif [[ $current == -* ]]; then
        words=$(stayup-crashlab --help 2>/dev/null |
            sed -n -E "/^ +--.*  (sim|live)[,:]/{/[ ,]$command[,:]/!d};s/^ +(--[a-z]+=?).*/\1/p")
    elif [ "$command" = fuzz-journal ]; then
        COMPREPLY=($(compgen -f -- "$current"))
        return
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    [[ ${COMPREPLY-} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -o filenames -F _stayup_crashlab stayup-crashlab

# Completion of initctl, start, stop, restart, reload, status, telinit and shutdown for bash.
#
# Commands and options are what the programs say with --help, so nothing here has to follow them.

# The options in the lines of a help text that begin with one: `-q, --quiet` or `--dest=NAME`.
_stayup_options() {
    local first second rest
    "$@" --help 2>/dev/null | while read -r first second rest; do
        case $first in
        -*,) printf '%s\n' "${first%,}" "${second/=*/=}" ;;
        -*) printf '%s\n' "${first/=*/=}" ;;
        esac
    done
}

_stayup_commands() {
    initctl --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z-]*\) .*/\1/p'
}

# Jobs, once each, of the init that the options on the line mean.
_stayup_jobs() {
    local word which=()
    for word in "${COMP_WORDS[@]:1}"; do
        case $word in
        --user | --session | --system) which+=("$word") ;;
        esac
    done
    initctl "${which[@]}" list 2>/dev/null | sed -n 's/^\([^ \t][^ ]*\) .*/\1/p' | sort -u
}

# Events that jobs wait for.
_stayup_events() {
    initctl show-config -e 2>/dev/null | sed -n -E 's/^  (start|stop) on ([^ ]+) .*/\2/p; s/^  emits ([^ ]+)$/\1/p' | sort -u
}

_stayup_reply() {
    local IFS=$'\n'
    COMPREPLY=($(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}"))
    # A value follows at once.
    [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *= ]] || compopt -o nospace 2>/dev/null
}

# The words that are no options, up to the cursor, in `words`.
_stayup_words() {
    local index skip=
    words=()
    for ((index = 1; index < COMP_CWORD; index++)); do
        case ${COMP_WORDS[index]} in
        --dest | -i | --ignore-events | --boot | --since | --until | --lines | --logdir) skip=1 ;;
        -* | =) ;;
        *) [ -n "$skip" ] && skip= || words+=("${COMP_WORDS[index]}") ;;
        esac
    done
}

# What follows a command of initctl: $1 is the command, $2 how many words stand there already.
_stayup_argument() {
    case $1 in
    start | stop | restart | reload | status | usage | history | log) [ "$2" -gt 0 ] || _stayup_reply "$(_stayup_jobs)" ;;
    show-config | check-config) _stayup_reply "$(_stayup_jobs)" ;;
    emit) [ "$2" -gt 0 ] || _stayup_reply "$(_stayup_events)" ;;
    log-priority) [ "$2" -gt 0 ] || _stayup_reply $'debug\ninfo\nmessage\nwarn\nerror\nfatal' ;;
    crash-report) [ "$2" -gt 0 ] || _stayup_reply "$(initctl crashes 2>/dev/null | sed -n 's/^ *\([0-9][0-9]*\)  .*/\1/p')" ;;
    get-env | set-env | unset-env) _stayup_reply "$(initctl list-env 2>/dev/null | sed 's/=.*//')" ;;
    esac
}

_stayup_initctl() {
    local words
    COMPREPLY=()
    _stayup_words
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        _stayup_reply "$(_stayup_options initctl "${words[@]:0:1}")"
    elif [ ${#words[@]} = 0 ]; then
        _stayup_reply "$(_stayup_commands)"
    else
        _stayup_argument "${words[0]}" $((${#words[@]} - 1))
    fi
}

_stayup_short() {
    local words
    COMPREPLY=()
    _stayup_words
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        _stayup_reply "$(_stayup_options initctl "${1##*/}")"
    else
        _stayup_argument "${1##*/}" ${#words[@]}
    fi
}

_stayup_telinit() {
    local words
    COMPREPLY=()
    _stayup_words
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        _stayup_reply "$(_stayup_options telinit)"
    elif [ ${#words[@]} = 0 ]; then
        _stayup_reply $'0\n1\n2\n3\n4\n5\n6\nS\nq\nu'
    fi
}

_stayup_shutdown() {
    local words
    COMPREPLY=()
    _stayup_words
    if [[ ${COMP_WORDS[COMP_CWORD]} == -* ]]; then
        _stayup_reply "$(_stayup_options shutdown)"
    elif [ ${#words[@]} = 0 ]; then
        _stayup_reply $'now\n+1\n+5\n+10'
    fi
}

complete -F _stayup_initctl initctl
complete -F _stayup_short start stop restart reload status
complete -F _stayup_telinit telinit
complete -F _stayup_shutdown shutdown

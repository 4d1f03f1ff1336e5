# bash completion for kitten; made by: kitten help --bash
_kitten()
{
    local cur=${COMP_WORDS[COMP_CWORD]} words
    local name=${COMP_WORDS[1]} two="${COMP_WORDS[1]} ${COMP_WORDS[2]}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='help version'
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
        return
    fi
    case $two in
    *)
    case $name in
    'help')
        words='--man --bash --help'
        ;;
    'version')
        words='--json --help'
        ;;
    esac
    ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o default -F _kitten kitten

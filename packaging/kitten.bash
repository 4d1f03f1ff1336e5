# bash completion for kitten; made by: kitten help --bash
_kitten()
{
    local cur=${COMP_WORDS[COMP_CWORD]} words
    local name=${COMP_WORDS[1]} two="${COMP_WORDS[1]} ${COMP_WORDS[2]}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='bench dump fsck help keys mini rebuild sign status version'
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
        return
    fi
    case $two in
    'bench floor')
        words='--listen --size --help'
        ;;
    'bench verify')
        words='--endpoint --target --bucket --prefix --access-key --secret-key --region --concurrency --threads --timeout --manifest --server-pid --csv --quiet --json --help'
        ;;
    'keys add')
        words='--json --help'
        ;;
    'keys ls')
        words='--json --help'
        ;;
    'keys rm')
        words='--json --help'
        ;;
    'keys show')
        words='--help'
        ;;
    'rebuild index')
        words='--json --help'
        ;;
    *)
    case $name in
    'bench')
        words='--endpoint --target --bucket --prefix --access-key --secret-key --region --concurrency --threads --timeout --manifest --server-pid --csv --quiet --rate --duration --warmup --count --objects --existing --size --keys --mix --verify --share --seed --from --max-size --batch --batch-files --json --help floor verify'
        ;;
    'dump')
        words='--json --help'
        ;;
    'fsck')
        words='--fast --quiet --json --help'
        ;;
    'help')
        words='--man --bash --help'
        ;;
    'mini')
        words='--config --listen --data --loops --workers --stop-timeout --http-connections --http-head-limit --http-uri-limit --http-fields --http-head-timeout --http-idle-timeout --http-body-timeout --http-send-timeout --http-body-rate --http-body-budget --max-blob --signed-url-max-age --volume-limit --open-volumes --reserve --zero-fill-ahead --undelete-window --scrub-period --compact-garbage --compact-rate --log-level --log-format --log-file --help'
        ;;
    'sign')
        words='--ttl --key --json --help'
        ;;
    'status')
        words='--endpoint --access-key --secret-key --json --help'
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

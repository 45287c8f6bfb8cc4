# actbench completion for bash. To have it in every shell, put this line into ~/.bashrc:
#   eval "$(actbench completion bash)"
_actbench() {
    local IFS=$'\n' command="${1/#\~/$HOME}" lines line
    lines=$("$command" completion --answer "${COMP_LINE:0:COMP_POINT}" "${COMP_LINE:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    COMPREPLY=()
    if [[ $lines == folders ]]; then
        compopt -o filenames 2>/dev/null
        line="$2"
        [[ $line == = ]] && line=""
        while read -r line; do COMPREPLY+=("$line"); done < <(compgen -d -- "$line")
    elif [[ -n $lines ]]; then
        while read -r line; do COMPREPLY+=("${line%%$'\t'*}"); done <<< "$lines"
    fi
}
complete -o nospace -F _actbench actbench

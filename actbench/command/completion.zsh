#compdef actbench
# actbench completion for zsh. To have it in every shell, put this line into ~/.zshrc, below compinit:
#   eval "$(actbench completion zsh)"
_actbench() {
    local -a lines ended ended_told open open_told
    local line word told command="${(Q)words[1]}"
    lines=("${(@f)$("${command/#\~/$HOME}" completion --answer "${(j: :)words[1,CURRENT-1]} $PREFIX" "${(j: :)words[CURRENT+1,-1]:+ ${(j: :)words[CURRENT+1,-1]}}" "" 2>/dev/null)}")
    if [[ $lines[1] == folders ]]; then
        compset -P '*='
        _files -/
        return
    fi
    for line in $lines; do
        word="${line%%$'\t'*}" told="${line#*$'\t'}"
        if [[ $word == *' ' ]]; then
            word="${word% }"
            ended+=("$word") ended_told+=("${word}${told:+  -- $told}")
        elif [[ -n $word ]]; then
            open+=("$word") open_told+=("${word}${told:+  -- $told}")
        fi
    done
    (( $#ended )) && compadd -l -d ended_told -a ended
    (( $#open )) && compadd -l -S '' -d open_told -a open
}
if [[ $funcstack[1] == _actbench ]]; then _actbench "$@"; else compdef _actbench actbench; fi

# actbench completion for fish. To have it in every shell:
#   actbench completion fish > ~/.config/fish/completions/actbench.fish
function __actbench_complete
    set -l token (commandline -ct)
    set -l line (commandline -cp)
    set -l lines (actbench completion --answer "$line" "" "" 2>/dev/null)
    if test "$lines[1]" = folders
        set -l key (string match -r '^[^=]*=' -- $token)
        for folder in (__fish_complete_directories (string replace -r '^[^=]*=' '' -- $token) '')
            echo "$key$folder"
        end
        return
    end
    for line in $lines
        string replace -r ' ?\t' '\t' -- $line
    end
end
complete -c actbench -f -a '(__actbench_complete)'

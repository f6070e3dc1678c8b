#compdef beamtune
# Tab completion of beamtune in zsh. In ~/.zshrc, after compinit:
#
#   source <(beamtune completion zsh)

_beamtune() {
    local -a candidates
    candidates=(${(f)"$($words[1] __complete "${(@Q)words[2,CURRENT-1]}" "$PREFIX" 2>/dev/null)"})
    if (( ! $#candidates )); then
        compset -P '*='
        _files
        return
    fi
    compadd -S '' -- ${(M)candidates:#*[=.]} # the user continues to type after these
    compadd -- ${candidates:#*[=.]}
}

compdef _beamtune beamtune

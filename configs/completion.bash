# Tab completion of beamtune in bash. In ~/.bashrc:
#
#   source <(beamtune completion bash)

_beamtune() {
    local line=${COMP_LINE:0:COMP_POINT} words replaced kept candidate
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    # bash divides words at "=" too, and replaces only the part behind the last one, which it gives as $2.
    replaced=$2
    kept=${words[-1]%"$replaced"}
    COMPREPLY=()
    while IFS= read -r candidate; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <("$1" __complete "${words[@]:1}" 2>/dev/null)
    [[ ${COMPREPLY[0]-} == *[=.] ]] && compopt -o nospace
}

# "default": names of files where beamtune offers nothing.
complete -o default -F _beamtune beamtune

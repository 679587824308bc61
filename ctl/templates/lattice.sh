# A lattice of its own for a test that says `. ./lattice.sh`, in a folder of its own with the manifest of this project;
# both are gone when the test ends.
unset MESH_SERVER MESH_CREDS MESH_KEY MESH_LATTICE MESH_CONTEXT MESH_ROOT
desk=$(mktemp -d)
trap 'cd "$desk"; meshctl down --purge >/dev/null; cd /; rm -rf "$desk"' EXIT
cp mesh.yaml "$desk"
cd "$desk"

# A port that nobody listens on.
free_port() {
    local port=$((10240 + RANDOM % 20000))
    while (: </dev/tcp/127.0.0.1/$port) 2>/dev/null; do port=$((10240 + RANDOM % 20000)); done
    echo $port
}

# What a command has to print.
says() {
    local expected=$1 said
    shift
    said=$("$@")
    [ "$said" = "$expected" ] || { echo "$*: said \"$said\", not \"$expected\"" >&2; exit 1; }
    echo "$*: $said"
}

meshctl up --port 0 --detach
mkdir build

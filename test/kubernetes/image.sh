#!/usr/bin/env bash
# Builds the image of the Dockerfile on a stand-in for its distroless base, from what is on this machine: the pinned Node
# of node_modules and the shared libraries that it needs. No registry is asked. The bundle is dist/ as `npm run build` left it.
# usage: image.sh FILE.tar   a docker archive with sidebearer:test and stand-in-base
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$1
work=$(mktemp -d)
buildah=(buildah --storage-driver vfs --root "$work/store" --runroot "$work/run")
finish() {
  status=$?
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT

node=node_modules/node/bin/node
base=$work/base
mkdir -p "$base/nodejs/bin" "$base/etc" "$base/tmp"
cp "$node" "$base/nodejs/bin/node"
chmod 1777 "$base/tmp"
echo 'root:x:0:0:root:/root:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$base/etc/passwd"
ldd "$node" | grep -oE '/[^ ]+' | while read -r library; do
  mkdir -p "$base$(dirname "$library")"
  cp -L "$library" "$base$library"
done
printf 'FROM scratch\nCOPY . /\nUSER 65532:65532\nENTRYPOINT ["/nodejs/bin/node"]\n' >"$work/Containerfile"
"${buildah[@]}" bud -q --isolation chroot -f "$work/Containerfile" -t localhost/stand-in-base:1 "$base" >/dev/null

# In place of the stage that runs npm: what it would have made.
mkdir -p "$work/bundle/src/dist"
cp dist/sidebearer.js "$work/bundle/src/dist/"
"${buildah[@]}" bud -q --isolation chroot --format docker --build-context "bundle=$work/bundle" \
  --build-arg BUILD=localhost/stand-in-base:1 --build-arg BASE=localhost/stand-in-base:1 \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" -t localhost/sidebearer:test . >/dev/null
"${buildah[@]}" inspect --type image localhost/sidebearer:test >"$out.json"
"${buildah[@]}" push -q localhost/sidebearer:test "docker-archive:$out:localhost/sidebearer:test"

#!/bin/bash
# Every command against a production vault with --json: what it prints is JSON and nothing else, with the members
# that scripts rely on, and the exit status is the documented one; errors are JSON objects, too.
# shellcheck disable=SC1091
. "$(dirname "$0")/lib.sh"
command -v python3 >/dev/null || skip "python3 is not installed"

# json STATUS MEMBER[=VALUE] COMMAND...: MEMBER is a path such as error.reason or officers.0.name
declare -A seen=()
json() {
    local status=$1 member=$2 got=0 name=$3
    shift 2
    [ -n "${seen[$name ${2:-}]:-}" ] || seen["$name ${2:-}"]=1
    leasehold "$@" --json >"$T/last-output" 2>"$T/stderr" </dev/null || got=$?
    [ "$got" = "$status" ] || die "$*: exit status $got, expected $status: $(cat "$T/stderr")"
    # An error is told to people, too, on standard error.
    python3 - "$T/last-output" "$member" "$T/stderr" <<'PY' || die "$*: no JSON with $member, or not so"
import json, os, sys
with open(sys.argv[1], encoding="utf-8") as file:
    value = json.load(file)
if "error" in value and os.path.getsize(sys.argv[3]) == 0:
    sys.exit("an error that standard error does not tell")
path, _, expected = sys.argv[2].partition("=")
for part in path.split("."):
    value = value[int(part)] if isinstance(value, list) else value[part]
if expected and str(value) != expected:
    sys.exit(f"{path} is {value}")
PY
}
get() { json_get "$1" <"$T/last-output"; }

lh_setup
key=(--officer alice --key "$T/keys/alice")
lh_tpm_start
lh_officers alice bob carol
step "no daemon, no vault"
json 1 error.code=gone status
json 1 error.code=gone proposals
json 2 error.reason=usage init --threshold 2
lh_daemon_start
json 3 state=empty status
json 3 error.reason=vault-empty proposals
json 3 error.reason=vault-empty show genesis
json 1 error.reason=roster-threshold init --officer "alice=$T/keys/alice.pub" --officer "bob=$T/keys/bob.pub" --threshold 1
json 0 vault init --officer "alice=$T/keys/alice.pub" --officer "bob=$T/keys/bob.pub" --officer "carol=$T/keys/carol.pub" --threshold 2
json 3 officers.0.signed=False status
json 0 missing.2=carol show genesis
json 0 state=founding approve genesis --key "$T/keys/alice" --yes
json 1 error.reason=approval-same-person approve genesis --key "$T/keys/alice" --yes
json 3 error.reason=vault-founding key list
json 0 state=founding approve genesis --key "$T/keys/bob" --yes
json 0 state=open approve genesis --key "$T/keys/carol" --yes
step "an open vault"
json 0 environment=production status
json 0 assurance=self status
json 0 references policy reference
mkdir "$T/folder" && echo text >"$T/folder/file"
json 0 files reference files "$T/folder" --out "$T/folder.files"
json 0 files reference packages hostname --out "$T/package.files"
json 1 error.reason=fileset-unnamed reference upload "$T/folder.files"
json 0 sets reference list
leasehold policy reference >"$T/checked.yaml"
json 0 good=True reference check "$T/checked.yaml"
json 2 error.reason=usage reference record here --exclude /usr/
json 0 references reference record here --out "$T" --pcr-folder "$T/none" \
    --event-log "$LEASEHOLD_SOURCE/tests/vm/logs/events.bin" --ima-log "$LEASEHOLD_SOURCE/tests/vm/logs/ima.bin"
json 0 proposal.needed=2 propose reference.set --from-tpm --officer alice
json 0 proposals.0.state=open proposals
id=$(get id)
json 0 proposal.operation=reference.set show "$id"
json 2 error.reason=usage approve "$id" --key "$T/keys/alice"
json 2 error.reason=usage approve "$id"
json 0 officer=alice approve "$id" --key "$T/keys/alice" --yes
json 1 error.reason=other-officer approve "$id" --key "$T/keys/carol" --yes --officer bob
json 1 error.reason=proposal-executed approve "$id" --key "$T/keys/bob" --yes
json 0 needed=2 propose parent.create root "${key[@]}"
json 0 proposals.0.approvals.0.verb=approve proposals
id=$(get id)
json 0 result.operation=parent.create approve "$id" --key "$T/keys/bob" --yes
json 0 proposal.id propose parent.create other "${key[@]}"
id=$(get id)
json 0 proposals.0.id proposals
id=$(get id)
json 0 state=open deny "$id" --key "$T/keys/bob" --yes
json 1 error.reason=approval-not-requester withdraw "$id" --key "$T/keys/carol" --yes
json 0 state=withdrawn withdraw "$id" --key "$T/keys/alice" --yes
json 0 proposals.2 proposals --all
json 1 error.reason=proposal-unknown show 00000000000000000000000000000000
cat >"$T/policy.yaml" <<YAML
trust_domain: test.example
workloads:
  - { id: "spiffe://test.example/me", attest: { uid: $(id -u) } }
roles:
  - { name: signing, parent: root, derive: { per: workload, key: ec-p256 }, allow: [ecdsa], ttl: 10m }
grants:
  - { workload: "spiffe://test.example/me", role: signing }
YAML
json 0 good=True policy check "$T/policy.yaml"
sed 's/ttl: 10m/ttl: soon/' "$T/policy.yaml" >"$T/bad.yaml"
json 1 problems.0.line=5 policy check "$T/bad.yaml"
json 1 error.reason=document-invalid propose policy.apply "$T/bad.yaml" --officer alice
lh_policy "$T/policy.yaml"
json 0 version=1 policy show
json 0 version=1 policy show --references
json 0 parents.0.name=root key list
json 0 roles.0.workloads.0=spiffe://test.example/me key list
json 0 pem key public signing --workload spiffe://test.example/me
json 1 error.reason=role-unknown key public nothing --workload spiffe://test.example/me
json 0 allowed=True explain signing
json 1 allowed=False explain signing --mechanism eddsa
json 1 allowed=False explain nothing
json 0 refusals explain
step "leases and holds"
"$T/tests/signer" "$LEASEHOLD_MODULE" signing 1 >"$T/signed"
read -r _ lease <"$T/signed"
json 0 leases.0.role=signing lease list --all
json 0 lease.assurance=self lease show "$lease"
json 0 evidence lease show "$lease"
leasehold lease show "$lease" --evidence >"$T/proof.json"
leasehold evidence ak >"$T/ak"
json 0 ak evidence ak
json 0 verified=True evidence verify "$T/proof.json" --ak "$T/ak"
json 1 error.reason=evidence-ak evidence verify "$T/proof.json" --ak "sha256:$(sha256sum <"$T/ak" | cut -d' ' -f1)"
json 1 error.reason=lease-unknown lease show 00000000000000000000000000000000
coproc SIGNER { exec "$T/tests/signer" "$LEASEHOLD_MODULE" signing 2>&1; }
echo sign >&"${SIGNER[1]}" && read -r -t 20 _ lease <&"${SIGNER[0]}"
json 0 leases.0.state=live lease list
leasehold lease end "$lease" --json >"$T/last-output" || die "lease end"
python3 -m json.tool "$T/last-output" >/dev/null || die "lease end: no JSON"
json 1 error.reason lease end "$lease"
echo sign >&"${SIGNER[1]}" && read -r -t 20 _ lease <&"${SIGNER[0]}"
json 0 result.hold lease revoke "$lease" "${key[@]}"
hold=$(get hold)
json 0 holds.0.role=signing hold list
json 3 needed=2 hold lift "$hold" "${key[@]}"
json 0 proposals.0.operation=hold.lift proposals
json 0 state=executed approve "$(get id)" --key "$T/keys/bob" --yes
json 3 proposal.needed=1 hold add --role signing --officer alice
json 0 state=executed hold add --workload spiffe://test.example/me "${key[@]}"
json 2 error.reason=usage hold add --officer alice
step "the log"
json 0 entries.0.index=0 log show --from 0 --count 3
json 0 size log show
json 0 note log checkpoint
json 0 note log checkpoint "$T/checkpoint"
json 0 ed25519 log keys
json 0 good=True log verify
leasehold log keys >"$T/log-keys"
json 0 keys_pinned=True log verify --keys "$T/log-keys" --checkpoint "$T/checkpoint"
json 0 size log export "$T/bundle"
json 1 error log export "$T/bundle"
json 0 good=True log verify --bundle "$T/bundle"
sed -i '/"index":2,/s/event/evert/' "$T/bundle"
json 1 good=False log verify --bundle "$T/bundle"
json 0 version version
step "partitions"
json 0 partitions partition list
json 0 proposal.operation=partition.create propose partition.create one "${key[@]}"
json 0 result.operation=partition.create approve "$(get id)" --key "$T/keys/bob" --yes
json 0 partitions.0.name=one partition list
json 0 partition.initialized=False partition show one
json 1 error.reason=partition-unknown partition show none
step "hosts"
json 0 hosts host list
json 1 error.reason=host-unknown host show none
json 1 error.reason=host-unknown host retire none "${key[@]}"
echo "[]" >"$T/identity.json"
json 1 error.reason=identity-format host enrol one --identity "$T/identity.json" --pin "${key[@]}"
json 2 error.reason=usage host enrol one --pin "${key[@]}"
step "seal and unseal"
json 3 proposal.operation=vault.seal seal --officer alice
json 0 state=executed seal "${key[@]}"
json 3 reason=sealed-by-officer status
json 3 error.reason=sealed-by-officer lease list
json 3 needed=2 unseal "${key[@]}"
json 0 proposals.0.operation proposals
id=$(leasehold proposals | sed -n 's/^\([0-9a-f]*\) .*vault\.unseal.*/\1/p')
json 0 state=executed approve "$id" --key "$T/keys/bob" --yes
json 0 state=open status

step "more proposals than one reply holds: those that are open are all told"
reason=$(printf '"%.0s' {1..500})
for n in {1..110}; do
    leasehold propose parent.create "many$n" --officer alice --reason "$reason" --json >"$T/many.json"
    [ $((n % 2)) = 0 ] || leasehold withdraw "$(json_get id <"$T/many.json")" --key "$T/keys/alice" --yes >/dev/null
done
json 0 proposals.54.state=open proposals
json 0 proposals.54.state=open proposals --all
leasehold proposals --all --json | lh_grep -q '"state": "withdrawn"' || die "those that are not open are not told at all"

# None was left out.
while read -r command; do
    [ -n "${seen[$command]:-}" ] || [ -n "$(printf '%s\n' "${!seen[@]}" | grep -E "^$command ")" ] ||
        [ "$command" = dev ] || [ "$command" = help ] || [ "$command" = completion ] || [ "$command" = "lease end" ] || die "no test of leasehold $command --json"
done < <(leasehold help | sed -n 's/^  \([a-z]\+\( [a-z]\+\)\?\)  .*/\1/p')
step "--json: all as expected"

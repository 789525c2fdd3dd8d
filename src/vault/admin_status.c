/* status, policy, references, keys, holds, explain: what there is and who can have what. */
#include "base/clock.h"
#include "codec/base64.h"
#include "codec/bin.h"
#include "codec/sshsig.h"
#include "crypto/x509.h"
#include "proc/fd.h"
#include "vault/admin_internal.h"

#include <stdio.h>
#include <unistd.h>

static const char *state_name(enum lh_vault_state state)
{
    switch (state) {
    case LH_VAULT_EMPTY: return "empty";
    case LH_VAULT_FOUNDING: return "founding";
    case LH_VAULT_SEALED: return "sealed";
    case LH_VAULT_OPEN: return "open";
    }
    return "unknown";
}

static json_t *pcr_list(uint32_t mask)
{
    json_t *list = json_array();
    for (int i = 0; i < (int)LH_TPM_PCRS; i++)
        if (mask & (1u << i))
            json_array_append_new(list, json_integer(i));
    return list;
}

static json_t *officers_of(const lh_genesis *genesis, const lh_roster *roster, bool founding)
{
    json_t *list = json_array();
    for (size_t i = 0; i < lh_roster_count(roster); i++) {
        const lh_officer *officer = lh_roster_officer(roster, i);
        json_t *keys = json_array();
        for (size_t k = 0; k < officer->n_keys; k++) {
            LH_AUTO(lh_buf_free) lh_buf line = LH_BUF_INIT(2 * LH_LIMIT_PUBLIC_KEY);
            if (lh_ok(lh_pubkey_format(lh_buf_bytes(&officer->keys[k]), &line)))
                json_array_append_new(keys, json_stringn((const char *)line.data, line.len));
        }
        json_t *one = json_pack("{s:s, s:o}", "name", officer->name, "keys", keys);
        if (one && founding)
            json_object_set_new(one, "signed", json_boolean(lh_genesis_has_signed(genesis, officer->name)));
        json_array_append_new(list, one);
    }
    return list;
}

/* With the host's logs, which takes a quote. */
static lh_err appraise_now(lh_vault *v, const lh_rules *rules)
{
    lh_evidence_leaf leaf;
    lh_evidence evidence;
    lh_random(&leaf, sizeof(leaf)); /* nobody else asked, and nothing is issued on it */
    const lh_self_expectation expectation = {&leaf, lh_clock_boot_ms(), rules};
    lh_evidence_init(&evidence);
    lh_err err = lh_self_attest(v, &expectation, &evidence);
    lh_evidence_deinit(&evidence);
    return err;
}

/* Whether the vault's own host is in a state that the reference values allow, now. */
static json_t *reference_status(lh_vault *v)
{
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const lh_reference *reference = rules && rules->values ? lh_references_self(rules->values) : NULL;
    if (!reference)
        return json_pack("{s:b, s:b, s:s}", "set", 0, "ok", 0, "message",
            "No reference values are set: nothing is issued. Propose some with `leasehold propose "
            "reference.set "
            "--from-tpm`.");
    uint8_t values[LH_TPM_PCRS][32];
    uint32_t mask = lh_reference_mask(reference);
    if (!v->tpm || !lh_ok(lh_tpm_pcr_read(v->tpm, mask, values)))
        return json_pack("{s:b, s:b, s:s}", "set", 1, "ok", 0, "message", "The TPM cannot be read.");
    for (unsigned i = 0; i < LH_TPM_PCRS; i++) {
        char message[96];
        if (!(mask & (1u << i)) || lh_reference_allows(reference, i, values[i]))
            continue;
        snprintf(message, sizeof(message), "PCR %u has a value that the reference does not allow.", i);
        return json_pack("{s:b, s:b, s:s}", "set", 1, "ok", 0, "message", message);
    }
    if (lh_reference_wants_event_log(reference) && !lh_ok(appraise_now(v, rules)))
        return json_pack("{s:b, s:b, s:s}", "set", 1, "ok", 0, "message", lh_err_last()->message);
    return json_pack("{s:b, s:b, s:s}", "set", 1, "ok", 1, "message", "");
}

static void add_core(lh_vault *v, json_t *status)
{
    lh_core *core = v->core;
    bool founding = !core->chain;
    const lh_roster *roster =
        founding ? lh_genesis_roster(core->genesis) : lh_chain_state(core->chain)->roster;
    json_object_set_new(status, "officers", officers_of(core->genesis, roster, founding));
    json_object_set_new(status, "threshold", json_integer(lh_roster_threshold(roster)));
    if (!founding) {
        json_object_set_new(status, "sequence", json_integer((json_int_t)lh_chain_sequence(core->chain)));
        json_object_set_new(status, "state_hash", lh_event_hex(lh_chain_hash(core->chain), 32));
    }
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(2 * LH_LIMIT_TPM_PUBLIC);
    lh_base64_encode(lh_buf_bytes(&core->ak_public), &ak);
    if (ak.status == LH_OK && ak.len > 0)
        json_object_set_new(status, "ak", json_stringn((const char *)ak.data, ak.len));
    lh_merkle_head head;
    if (lh_ok(lh_log_head(core->log, &head)))
        json_object_set_new(status, "log",
            json_pack("{s:I, s:o}", "size", (json_int_t)head.size, "root", lh_event_hex(head.root, 32)));
}

static bool count_live(lh_lease *lease, void *arg)
{
    if (lh_lease_state_of(lease) == LH_LEASE_LIVE)
        ++*(int *)arg;
    return true;
}

static void add_admin(lh_vault *v, json_t *status)
{
    char firmware[24];
    snprintf(firmware, sizeof(firmware), "%016llx", (unsigned long long)v->tpm_facts.firmware);
    if (v->tpm)
        json_object_set_new(status, "tpm",
            json_pack("{s:s, s:s, s:s}", "manufacturer", v->tpm_facts.manufacturer, "vendor",
                v->tpm_facts.vendor, "firmware", firmware));
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(16384);
    lh_seal_facts facts;
    if (lh_ok(lh_store_meta_get(v->store, "seal", &blob)) &&
        lh_ok(lh_seal_describe(lh_buf_bytes(&blob), &facts)))
        json_object_set_new(status, "seal", json_pack("{s:o}", "pcrs", pcr_list(facts.pcr_mask)));
    int live = 0;
    pthread_mutex_lock(&v->mutex);
    lh_lease_table_each(v->leases, count_live, &live);
    pthread_mutex_unlock(&v->mutex);
    json_object_set_new(status, "leases", json_integer(live));
    json_object_set_new(status, "assurance", json_string("self"));
    if (v->options.listen_count > 0)
        json_object_set_new(status, "net", lh_vault_net_status(v));
    if (v->core && v->core->chain) /* before governance, which is not to wait for the TPM */
        json_object_set_new(status, "reference", reference_status(v));
    if (v->core) {
        pthread_mutex_lock(&v->governance);
        add_core(v, status);
        pthread_mutex_unlock(&v->governance);
    }
}

LH_ADMIN_HANDLER(lh_admin_status)
{
    (void)request;
    char vault[65] = "";
    pthread_mutex_lock(&v->mutex);
    if (v->have_id)
        lh_hex(v->id, 32, vault);
    json_t *status = json_pack("{s:s, s:s, s:s, s:s, s:s, s:b, s:s}", "state", state_name(v->state), "reason",
        v->reason, "message", v->message, "vault", vault, "environment",
        v->options.development ? "development" : "production", "software_tpm", v->tpm_facts.is_software,
        "version", LEASEHOLD_VERSION);
    pthread_mutex_unlock(&v->mutex);
    if (!status)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (caller->is_admin)
        add_admin(v, status);
    *ret_fields = status;
    return LH_SUCCESS;
}

static json_t *document(const char *name, const lh_state_document *document)
{
    return json_pack("{s:s%, s:I}", name, document->version ? (const char *)document->bytes.data : "",
        document->bytes.len, "version", (json_int_t)document->version);
}

LH_ADMIN_HANDLER(lh_admin_policy_show)
{
    (void)caller;
    (void)request;
    *ret_fields = document("policy", &lh_chain_state(v->core->chain)->policy);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_references_show)
{
    (void)caller;
    (void)request;
    *ret_fields = document("references", &lh_chain_state(v->core->chain)->references);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_references_template)
{
    (void)caller;
    uint32_t mask = 0;
    size_t i;
    const json_t *pcr;
    json_array_foreach(json_object_get(request, "pcrs"), i, pcr) mask |= 1u << (json_integer_value(pcr) & 31);
    mask = mask ? mask & LH_TPM_PCR_MASK_ALL : 0xff; /* 0 to 7: firmware, boot loader, Secure Boot */
    uint8_t values[LH_TPM_PCRS][32];
    lh_tpm *tpm = NULL;
    LH_TRY(lh_vault_tpm(v, &tpm));
    LH_TRY(lh_tpm_pcr_read(tpm, mask, values));
    LH_AUTO(lh_buf_free) lh_buf yaml = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    LH_TRY(lh_references_template("this-host", (const uint8_t(*)[32])values, mask, &yaml));
    *ret_fields = json_pack("{s:s%}", "references", (const char *)yaml.data, yaml.len);
    return LH_SUCCESS;
}

/* --- explain -----------------------------------------------------------------------------------------------
 */

/* May the caller ask about this process? Its own, those of its own user, and for admins all. */
static lh_err identify(lh_vault *v, const lh_admin_caller *caller, pid_t pid, lh_identity *ret)
{
    int pidfd = -1;
    LH_TRY(lh_pidfd_open(pid, &pidfd));
    lh_err err = lh_identity_read(v->options.identity, pid, pidfd, ret);
    close(pidfd);
    LH_TRY(err);
    if (!caller->is_admin && ret->uid != caller->uid)
        return LH_REFUSE(LH_E_DENIED, "not-admin", "process %d belongs to another user", (int)pid);
    return LH_SUCCESS;
}

static unsigned use_of(const char *name)
{
    static const struct {
        const char *name;
        unsigned use;
    } uses[] = {{"sign", LH_USE_SIGN}, {"verify", LH_USE_VERIFY}, {"encrypt", LH_USE_ENCRYPT},
        {"decrypt", LH_USE_DECRYPT}};
    for (size_t i = 0; i < LH_ARRAY_LEN(uses); i++)
        if (strcmp(uses[i].name, name) == 0)
            return uses[i].use;
    return 0;
}

/* Who is asked about: a process of this host, or one that is connected from another. */
typedef struct {
    lh_identity identity;
    char source[LH_HOST_SOURCE_SIZE];
} subject;

static lh_err identify_subject(
    lh_vault *v, const lh_admin_caller *caller, const json_t *request, subject *ret)
{
    const char *host = lh_admin_string(request, "host");
    ret->source[0] = '\0';
    if (!host[0])
        return identify(v, caller, (pid_t)lh_admin_number(request, "pid", caller->pid), &ret->identity);
    if (!caller->is_admin)
        return LH_REFUSE(LH_E_DENIED, "not-admin", "processes of other hosts are shown to admins alone");
    return lh_vault_host_process(
        v, host, (pid_t)lh_admin_number(request, "pid", 0), &ret->identity, ret->source);
}

/* As issuing would see it, but for the evidence, which is taken for good where there is what to hold it
 * against.
 */
static lh_err subject_facts(const lh_rules *rules, const char *host, const subject *who, lh_policy_facts *ret)
{
    lh_rules_facts(rules, &who->identity, ret);
    ret->evidence_ok = rules->values && lh_references_self(rules->values);
    if (!host[0])
        return LH_SUCCESS;
    if (!lh_rules_host_facts(rules, host, &who->identity, ret))
        return LH_REFUSE(LH_E_NOT_FOUND, "host-unknown", "no host of this name is enrolled");
    ret->source = who->source[0] ? who->source : NULL;
    ret->evidence_ok = lh_rules_host_reference(rules, host) != NULL;
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_explain)
{
    subject who;
    LH_TRY(identify_subject(v, caller, request, &who));
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    if (!rules || !rules->policy)
        return LH_REFUSE(LH_E_STATE, "no-policy", "No policy is in force yet.");
    const char *mechanism = lh_admin_string(request, "mechanism");
    lh_policy_facts facts;
    LH_TRY(subject_facts(rules, lh_admin_string(request, "host"), &who, &facts));
    facts.now = lh_clock_wall();
    facts.mechanism = mechanism[0] ? mechanism : NULL;
    facts.use = use_of(lh_admin_string(request, "use"));
    lh_policy_decision decision = {0};
    LH_TRY(lh_policy_evaluate(rules->policy, &facts, lh_admin_string(request, "role"), true, &decision));
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_policy_explain(&decision, &text);
    *ret_fields = json_pack("{s:b, s:s, s:s, s:s%}", "allowed", decision.allowed, "reason", decision.reason,
        "rule", decision.rule, "text", (const char *)text.data, text.len);
    lh_policy_decision_clear(&decision);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_refusals)
{
    (void)request;
    json_t *list = json_array();
    size_t budget = LH_LIMIT_DOCUMENT;
    pthread_mutex_lock(&v->mutex);
    for (size_t i = 0; i < REFUSALS; i++) {
        /* Newest first. */
        const lh_refusal *r = &v->refusals[(v->refusal_next + 2 * REFUSALS - 1 - i) % REFUSALS];
        if (r->count == 0 || (!caller->is_admin && (r->host[0] || r->uid != caller->uid)))
            continue;
        size_t size = strlen(r->text ? r->text : "") + 1024;
        if (size > budget)
            break;
        budget -= size;
        json_array_append_new(
            list, json_pack("{s:o, s:s, s:i, s:I, s:s, s:s, s:s, s:s, s:s}", "time", lh_event_time(r->at),
                      "host", r->host, "pid", (int)r->pid, "uid", (json_int_t)r->uid, "exe", r->exe, "role",
                      r->role, "reason", r->reason, "rule", r->rule, "text", r->text ? r->text : ""));
    }
    pthread_mutex_unlock(&v->mutex);
    *ret_fields = json_pack("{s:o}", "refusals", list);
    return LH_SUCCESS;
}

/* --- keys and holds ----------------------------------------------------------------------------------------
 */

static json_t *role_line(const lh_policy *policy, const lh_policy_role *role)
{
    json_t *allow = json_array();
    for (size_t i = 0; i < role->allow_count; i++)
        json_array_append_new(allow, json_string(role->allow[i]->name));
    json_t *workloads = json_array();
    for (size_t i = 0; i < lh_policy_grant_count(policy); i++) {
        const lh_policy_grant *grant = lh_policy_grant_at(policy, i);
        if (grant->role == role->index)
            json_array_append_new(workloads, json_string(lh_policy_workload_at(policy, grant->workload)->id));
    }
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:I, s:I, s:o}", "role", role->name, "key",
        lh_key_row_by_kind(role->key)->name, "per", role->per == LH_POLICY_PER_LEASE ? "lease" : "workload",
        "parent", role->parent, "allow", allow, "ttl", (json_int_t)role->ttl, "max_ttl",
        (json_int_t)role->max_ttl, "uses", (json_int_t)role->uses, "workloads", workloads);
}

#define CERTIFICATES_SHOWN 256 /* in one reply: some 250 KiB */

static lh_err certificate_line(lh_vault *v, const lh_state_certificate *attached, size_t index, json_t **ret)
{
    LH_AUTO(lh_x509_clear) lh_x509 x = {0};
    LH_TRY(lh_x509_parse(v->crypto, lh_buf_bytes(&attached->chain->der[index]), &x));
    json_t *line = json_pack(
        "{s:s, s:s, s:s}", "role", attached->role, "workload", attached->workload, "subject", x.subject_text);
    if (!line)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (x.not_after != INT64_MAX)
        json_object_set_new(line, "not_after", lh_event_time(x.not_after));
    *ret = line;
    return LH_SUCCESS;
}

/* As many as CERTIFICATES_SHOWN; ret_more: there are others. */
static lh_err list_certificates(lh_vault *v, const lh_state *state, json_t *list, bool *ret_more)
{
    *ret_more = false;
    for (size_t i = 0; i < state->n_certificates; i++)
        for (size_t j = 0; j < state->certificates[i].chain->count; j++) {
            json_t *line = NULL;
            if (json_array_size(list) >= CERTIFICATES_SHOWN) {
                *ret_more = true;
                return LH_SUCCESS;
            }
            LH_TRY(certificate_line(v, &state->certificates[i], j, &line));
            json_array_append_new(list, line);
        }
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_keys)
{
    (void)caller;
    (void)request;
    const lh_state *state = lh_chain_state(v->core->chain);
    bool more = false;
    LH_AUTO(lh_json_freep) json_t *certificates = json_array();
    LH_TRY(list_certificates(v, state, certificates, &more));
    json_t *parents = json_array();
    for (size_t i = 0; i < state->n_parents; i++)
        json_array_append_new(parents, json_pack("{s:s, s:i}", "name", state->parents[i].name, "version",
                                           (int)state->parents[i].version));
    json_t *roles = json_array();
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    for (size_t i = 0; rules && rules->policy && i < lh_policy_role_count(rules->policy); i++)
        json_array_append_new(roles, role_line(rules->policy, lh_policy_role_at(rules->policy, i)));
    *ret_fields = json_pack("{s:o, s:o, s:O, s:b}", "parents", parents, "roles", roles, "certificates",
        certificates, "more", more);
    return LH_SUCCESS;
}

static lh_err pem_of(lh_bytes spki, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf text = LH_BUF_INIT(4096);
    lh_base64_encode(spki, &text);
    LH_TRY(lh_buf_status(&text));
    lh_buf_append_str(out, "-----BEGIN PUBLIC KEY-----\n");
    for (size_t i = 0; i < text.len; i += 64) {
        lh_buf_append(out, text.data + i, text.len - i < 64 ? text.len - i : 64);
        lh_buf_append_str(out, "\n");
    }
    lh_buf_append_str(out, "-----END PUBLIC KEY-----\n");
    return lh_buf_status(out);
}

/* RFC 4253 section 6.6: the exponent and the modulus, whose first bit is set, as mpints. */
static lh_err ssh_rsa_of(lh_bytes modulus, lh_buf *out)
{
    static const uint8_t exponent[] = {1, 0, 1};
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(1024);
    lh_put_str(&blob, "ssh-rsa");
    lh_put_blob(&blob, LH_BYTES(exponent, sizeof(exponent)));
    lh_put_u32(&blob, (uint32_t)modulus.len + 1);
    lh_put_u8(&blob, 0);
    lh_put_raw(&blob, modulus.data, modulus.len);
    LH_TRY(lh_buf_status(&blob));
    return lh_pubkey_format(lh_buf_bytes(&blob), out);
}

/* RFC 5656 section 3.1, RFC 8709 section 4. */
static lh_err ssh_of(const lh_key *key, lh_buf *out)
{
    LH_AUTO(lh_buf_free) lh_buf point = LH_BUF_INIT(LH_KEY_PUBLIC_MAX);
    LH_TRY(lh_key_public_point(key, &point));
    if (lh_key_row_by_kind(lh_key_kind(key))->made)
        return ssh_rsa_of(lh_buf_bytes(&point), out);
    LH_AUTO(lh_buf_free) lh_buf blob = LH_BUF_INIT(1024);
    static const struct {
        enum lh_key_kind kind;
        const char *type;
        const char *curve; /* NULL where the type says it */
    } names[] = {{LH_KEY_EC_P256, "ecdsa-sha2-nistp256", "nistp256"},
        {LH_KEY_EC_P384, "ecdsa-sha2-nistp384", "nistp384"},
        {LH_KEY_EC_P521, "ecdsa-sha2-nistp521", "nistp521"}, {LH_KEY_ED25519, "ssh-ed25519", NULL}};
    for (size_t i = 0; i < LH_ARRAY_LEN(names); i++) {
        if (names[i].kind != lh_key_kind(key))
            continue;
        lh_put_str(&blob, names[i].type);
        if (names[i].curve)
            lh_put_str(&blob, names[i].curve);
    }
    lh_put_blob(&blob, lh_buf_bytes(&point));
    LH_TRY(lh_buf_status(&blob));
    return lh_pubkey_format(lh_buf_bytes(&blob), out);
}

LH_ADMIN_HANDLER(lh_admin_key_public)
{
    (void)caller;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const char *name = lh_admin_string(request, "role");
    const char *workload = lh_admin_string(request, "workload");
    const lh_policy_role *role = rules && rules->policy ? lh_policy_role_by_name(rules->policy, name) : NULL;
    if (!role || !lh_policy_workload_by_id(rules->policy, workload))
        return LH_REFUSE(
            LH_E_NOT_FOUND, "role-unknown", "the policy has no role %s or no workload %s", name, workload);
    if (role->per != LH_POLICY_PER_WORKLOAD || !lh_key_row_by_kind(role->key)->pair)
        return LH_REFUSE(LH_E_UNSUPPORTED, "no-public-key",
            "role %s has no public key of its own: only pairs that are per: workload have", name);
    lh_derivation derivation;
    lh_vault_derivation(v, rules, role, workload, &derivation);
    LH_AUTO(lh_key_freep) lh_key *key = NULL;
    LH_TRY(lh_vault_role_key(v, rules, &derivation, &key));
    LH_AUTO(lh_buf_free) lh_buf spki = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf pem = LH_BUF_INIT(4096);
    LH_AUTO(lh_buf_free) lh_buf ssh = LH_BUF_INIT(4096);
    LH_TRY(lh_key_public_spki(key, &spki));
    LH_TRY(pem_of(lh_buf_bytes(&spki), &pem));
    LH_TRY(ssh_of(key, &ssh));
    *ret_fields = json_pack(
        "{s:s%, s:s%}", "pem", (const char *)pem.data, pem.len, "ssh", (const char *)ssh.data, ssh.len);
    return LH_SUCCESS;
}

LH_ADMIN_HANDLER(lh_admin_holds)
{
    (void)caller;
    (void)request;
    const lh_state *state = lh_chain_state(v->core->chain);
    json_t *list = json_array();
    for (size_t i = 0; i < state->n_holds; i++) {
        const lh_state_hold *h = &state->holds[i];
        json_t *one = json_pack("{s:o, s:o, s:s, s:s}", "id", lh_event_hex(h->id, LH_GOVERNED_ID_SIZE),
            "placed", lh_event_time(h->placed_at), "officer", h->placed_by, "reason", h->reason);
        if (h->selector.workload[0])
            json_object_set_new(one, "workload", json_string(h->selector.workload));
        if (h->selector.role[0])
            json_object_set_new(one, "role", json_string(h->selector.role));
        if (h->selector.has_lease)
            json_object_set_new(one, "lease", lh_event_hex(h->selector.lease, LH_GOVERNED_ID_SIZE));
        if (h->selector.host[0])
            json_object_set_new(one, "host", json_string(h->selector.host));
        json_array_append_new(list, one);
    }
    *ret_fields = json_pack("{s:o}", "holds", list);
    return LH_SUCCESS;
}

/* host.list, host.show: hosts as officers enrolled them, and what is known of them now. */
#include "crypto/credential.h"
#include "crypto/ek.h"
#include "crypto/x509.h"
#include "vault/admin_internal.h"
#include "vault/host.h"

#define LIST_SIZE (LH_LIMIT_MESSAGE - 4096) /* bytes of hosts in one answer: it must fit a message */

static json_t *labels_of(const lh_host_enrolment *enrolment)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < enrolment->n_labels; i++)
        json_object_set_new(labels, enrolment->labels[i].name, json_string(enrolment->labels[i].value));
    return labels;
}

static lh_err enrolled(lh_vault *v, const lh_state_host *host, json_t **ret)
{
    const lh_host_enrolment *e = host->enrolment;
    enum lh_ek_kind kind;
    uint8_t ak_name[34];
    LH_TRY(lh_ek_check(v->crypto, lh_buf_bytes(&e->ek_public), &kind));
    LH_TRY(lh_credential_name(v->crypto, lh_buf_bytes(&e->ak_public), ak_name));
    json_t *one = json_pack("{s:s, s:I, s:s, s:o, s:s, s:o, s:o, s:o}", "name", host->name, "version",
        (json_int_t)host->version, "ek_kind", lh_ek_kind_name(kind), "ek_sha256",
        lh_event_hex(e->ek_hash, 32), "ek_proof", e->pinned ? "pinned" : "certificate", "ak_name",
        lh_event_hex(ak_name, sizeof ak_name), "channel_key", lh_event_hex(e->channel_key, 32), "labels",
        labels_of(e));
    if (!one)
        return LH_RAISE(LH_E_NOMEM, 0);
    if (e->reference[0] != '\0')
        json_object_set_new(one, "reference", json_string(e->reference));
    *ret = one;
    return LH_SUCCESS;
}

/* Of a live host, what its line in the list says. */
static void add_line(lh_vault *v, const char *name, json_t *one)
{
    LH_AUTO(lh_json_freep) json_t *live = NULL;
    if (lh_ok(lh_vault_host_live(v, name, &live)))
        json_object_set(one, "connected", json_object_get(live, "connected"));
}

LH_ADMIN_HANDLER(lh_admin_host_list)
{
    (void)caller;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const char *after = lh_admin_string(request, "after");
    if (!rules)
        return lh_vault_require_open(v);
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    size_t room = LIST_SIZE;
    bool more = false;
    for (size_t i = 0; i < rules->governed.n_hosts && !more; i++) {
        LH_AUTO(lh_json_freep) json_t *one = NULL;
        const lh_state_host *host = &rules->governed.hosts[i];
        if (strcmp(host->name, after) <= 0)
            continue;
        LH_TRY(enrolled(v, host, &one));
        add_line(v, host->name, one);
        size_t size = json_dumpb(one, NULL, 0, JSON_COMPACT) + 1;
        more = size > room;
        room -= more ? 0 : size;
        if (!more && json_array_append(list, one) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    *ret_fields = json_pack("{s:O, s:b}", "hosts", list, "more", more);
    return LH_SUCCESS;
}

/* The content of a DER INTEGER in hex. */
static json_t *serial_of(const lh_x509 *x)
{
    lh_bytes der = lh_buf_bytes(&x->serial);
    size_t head = der.len > 1 && (der.data[1] & 0x80) ? 2u + (der.data[1] & 0x7f) : 2;
    return head < der.len ? lh_event_hex(der.data + head, der.len - head) : json_string("");
}

static lh_err add_certificates(lh_vault *v, const lh_host_enrolment *e, json_t *one)
{
    LH_AUTO(lh_json_freep) json_t *list = json_array();
    for (size_t i = 0; i < e->certificate_count; i++) {
        LH_AUTO(lh_x509_clear) lh_x509 x = {0};
        LH_TRY(lh_x509_parse(v->crypto, lh_buf_bytes(&e->certificates[i]), &x));
        json_t *certificate = json_pack(
            "{s:s, s:s, s:o}", "subject", x.subject_text, "issuer", x.issuer_text, "serial", serial_of(&x));
        if (certificate && x.not_after != INT64_MAX)
            json_object_set_new(certificate, "not_after", lh_event_time(x.not_after));
        if (json_array_append_new(list, certificate) != 0)
            return LH_RAISE(LH_E_NOMEM, 0);
    }
    if (e->certificate_count > 0)
        json_object_set(one, "certificates", list);
    return LH_SUCCESS;
}

/* Leave out the last processes and changes, where an answer would be too long for a message. */
static void fit(json_t *live, size_t room)
{
    json_t *drift = json_object_get(live, "drift");
    json_t *streams = json_object_get(live, "streams");
    while (json_dumpb(live, NULL, 0, JSON_COMPACT) > room) {
        json_t *longer = json_array_size(drift) > json_array_size(streams) ? drift : streams;
        size_t kept = json_array_size(longer) / 4 * 3;
        if (json_array_size(longer) == 0)
            return;
        while (json_array_size(longer) > kept)
            json_array_remove(longer, json_array_size(longer) - 1);
        json_object_set_new(live, "more", json_true());
    }
}

LH_ADMIN_HANDLER(lh_admin_host_show)
{
    (void)caller;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(v);
    const char *name = lh_admin_string(request, "name");
    if (!rules)
        return lh_vault_require_open(v);
    const lh_state_host *host = lh_state_find_host(&rules->governed, name);
    if (!host)
        return LH_REFUSE(LH_E_NOT_FOUND, "host-unknown", "no host named %s is enrolled%s", name,
            strcmp(name, "self") == 0 ? "; of the vault's own, `leasehold status` and its log tell" : "");
    LH_AUTO(lh_json_freep) json_t *one = NULL;
    LH_AUTO(lh_json_freep) json_t *live = NULL;
    LH_TRY(enrolled(v, host, &one));
    LH_TRY(add_certificates(v, host->enrolment, one));
    if (lh_ok(lh_vault_host_live(v, name, &live))) {
        json_object_set(one, "connected", json_object_get(live, "connected"));
        fit(live, LIST_SIZE - json_dumpb(one, NULL, 0, JSON_COMPACT));
        json_object_set(one, "live", live);
    }
    *ret_fields = json_pack("{s:O}", "host", one);
    return LH_SUCCESS;
}

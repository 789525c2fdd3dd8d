/* Hosts: links, streams, leases on the evidence of another TPM, and what ends them. The numbers are those of
 * the list of evidence that must be refused (docs/attestation.md). */
#include "host_fixture.h"

static agent web1, web2;

static const char zero_pcr[] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/* web: PCRs 7 and 16 as a fresh software TPM has them, PCR 16 also as the second argument has it. */
static void set_reference(const char *also)
{
    char text[2048];
    snprintf(text, sizeof(text),
        "references:\n  vault:\n    pcrs: { 7: [\"%s\"] }\n"
        "  web:\n    pcrs: { 7: [\"%s\"], 16: [\"%s\"%s%s%s] }\nself:\n  reference: vault\n",
        zero_pcr, zero_pcr, zero_pcr, also ? ", \"" : "", also ? also : "", also ? "\"" : "");
    govern_ok("reference.set", text);
}

static void set_policy(int freshness)
{
    char text[4096];
    snprintf(text, sizeof(text),
        "trust_domain: test.example\n"
        "workloads:\n"
        "  - { id: " ME ", attest: { uid: %u, host: { env: prod }, freshness: %ds } }\n"
        "roles:\n" ROLE("sign", "workload", "ec-p256", "ecdsa-sha256", "") ROLE("once", "lease", "ed25519",
            "eddsa", "") "grants:\n"
                         "  - { workload: " ME ", role: sign }\n  - { workload: " ME ", role: once }\n",
        (unsigned)getuid(), freshness);
    govern_ok("policy.apply", text);
}

static int group_setup(void **unused)
{
    world_setup(unused);
    found_vault();
    set_reference(NULL);
    govern_ok("parent.create", "{\"name\":\"root\"}");
    set_policy(60);
    agent_setup(&web1, "web-1");
    agent_setup(&web2, "web-2");
    agent_enrol(&web1, "web");
    agent_enrol(&web2, "web");
    return 0;
}

static int group_teardown(void **unused)
{
    agent_teardown(&web1);
    agent_teardown(&web2);
    return world_teardown(unused);
}

static int connect_both(void **unused)
{
    (void)unused;
    agent_connect(&web1);
    agent_connect(&web2);
    return 0;
}

static int disconnect_both(void **unused)
{
    (void)unused;
    if (web1.link)
        agent_disconnect(&web1);
    if (web2.link)
        agent_disconnect(&web2);
    return 0;
}

/* A lease of a process on that host; its peer is the caller's. */
static lh_lease *issued(agent *a, pid_t pid, agent_stream **ret_stream, lh_peer **ret_peer)
{
    agent_stream *s = agent_open(a, pid);
    lh_peer *peer = agent_peer(s);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_lease *lease = remote_lease(s, "sign");
    assert_non_null(lease);
    *ret_stream = s;
    *ret_peer = peer;
    return lease;
}

/* --- issuing ----------------------------------------------------------------------------------------------
 */

static void test_issue(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    const lh_lease_terms *t = lh_lease_terms_of(lease);
    assert_string_equal(t->host, "web-1");
    assert_string_equal(t->source, "192.0.2.7");
    assert_string_equal(lh_lease_assurance(t), "host");
    assert_int_equal(t->pid, 4711);
    assert_lh_ok(sign_with(peer, "once"));
    assert_int_equal(web1.asked[1], 2);
    /* A process of this host with the same pid and start time is another. */
    pthread_mutex_lock(&w.vault->mutex);
    assert_null(lh_lease_table_by_holder(w.vault->leases, 4711, s->identity.start_time, "sign"));
    pthread_mutex_unlock(&w.vault->mutex);
    json_t *l = live("web-1");
    assert_true(json_is_true(json_object_get(l, "connected")));
    assert_string_equal(text_of(json_object_get(l, "evidence"), "verdict"), "good");
    assert_int_equal(json_integer_value(json_object_get(l, "leases")), 2);
    const json_t *stream = json_array_get(json_object_get(l, "streams"), 0);
    assert_int_equal(json_integer_value(json_object_get(stream, "pid")), 4711);
    assert_int_equal(json_integer_value(json_object_get(stream, "leases")), 2);
    json_decref(l);
    lh_peer_unref(peer);
    assert_string_equal(wait_ended(lease, 0), "peer-exit");
    assert_int_equal(wait_stored(t->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_lease_unref(lease);
}

static void test_renew(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    const int64_t expires = lh_lease_expires_boot_ms(lease);
    const lh_peer_use use = {
        handle_of(peer, "sign", CKO_PRIVATE_KEY), lh_mechanism_by_name("ecdsa-sha256"), LH_USE_SIGN};
    swtpm_sleep_ms(5);
    lh_peer_renew(peer, &use);
    assert_true(lh_lease_expires_boot_ms(lease) > expires);
    assert_int_equal(web1.asked[1], 2);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_hundred_streams(void **unused)
{
    (void)unused;
    lh_lease *leases[100];
    lh_peer *peers[100];
    for (int i = 0; i < 100; i++) {
        agent_stream *s = NULL;
        leases[i] = issued(&web1, 5000 + i, &s, &peers[i]);
    }
    lh_peer_unref(peers[50]);
    assert_string_equal(wait_ended(leases[50], 0), "peer-exit");
    for (int i = 0; i < 100; i++) {
        if (i != 50) {
            assert_int_equal(lh_lease_state_of(leases[i]), LH_LEASE_LIVE);
            lh_peer_unref(peers[i]);
        }
        lh_lease_unref(leases[i]);
    }
}

static void test_slots_are_the_leased_one(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    govern_ok("partition.create", "{\"name\":\"here\"}");
    assert_int_equal(handle_of(peer, "sign", CKO_PRIVATE_KEY) != 0, true);
    lh_peer_unref(peer);
}

/* --- activation and streams -------------------------------------------------------------------------------
 */

static void test_activation(void **unused)
{
    (void)unused;
    uint8_t answer[32];
    lh_host_link *link = NULL;
    assert_lh_ok(agent_dial(&web1, &link, answer));
    answer[31] ^= 1;
    assert_lh_refused(lh_host_link_activate(link, answer), LH_E_ATTESTATION, "activate-wrong");
    answer[31] ^= 1;
    assert_lh_refused(lh_host_link_activate(link, answer), LH_E_ATTESTATION, "activate-twice");
    const lh_bytes chunk = LH_BYTES("x", 1);
    assert_lh_refused(lh_host_link_log(link, LH_LOG_IMA, 0, chunk), LH_E_STATE, "link-not-active");
    lh_host_link_closed(link);
    /* Over another channel, the same answer is another's. */
    assert_lh_ok(agent_dial(&web1, &link, answer));
    memset(link->options.exporter, 7, sizeof(link->options.exporter));
    assert_lh_refused(lh_host_link_activate(link, answer), LH_E_ATTESTATION, "activate-wrong");
    lh_host_link_closed(link);
    /* A channel key that nobody has enrolled. */
    web1.channel_key[0] ^= 1;
    assert_lh_refused(agent_dial(&web1, &link, NULL), LH_E_DENIED, "host-unknown");
    web1.channel_key[0] ^= 1;
    lh_host_link *waiting[LH_LIMIT_HOST_LINKS_WAITING];
    for (size_t i = 0; i < LH_LIMIT_HOST_LINKS_WAITING; i++)
        assert_lh_ok(agent_dial(&web1, &waiting[i], NULL));
    assert_lh_refused(agent_dial(&web1, &link, NULL), LH_E_LIMIT, "host-links");
    for (size_t i = 0; i < LH_LIMIT_HOST_LINKS_WAITING; i++)
        lh_host_link_closed(waiting[i]);
}

static void test_open_refused(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    const lh_bytes facts = lh_buf_bytes(&s->facts);
    uint8_t point[65], signature[64];
    lh_host_stream *stream = NULL;
    const lh_bytes key = LH_BYTES(point, 65), sig = LH_BYTES(signature, 64);
    agent_sign_open(&web1, 2, facts, point, signature);
    assert_lh_refused(
        lh_host_stream_open(web1.link, 3, facts, key, sig, &stream), LH_E_SIGNATURE, "stream-signature");
    assert_lh_refused(
        lh_host_stream_open(web2.link, 2, facts, key, sig, &stream), LH_E_SIGNATURE, "stream-signature");
    assert_lh_refused(lh_host_stream_open(web1.link, 2, facts, key, LH_BYTES(signature, 63), &stream),
        LH_E_SIGNATURE, "stream-signature");
    assert_lh_refused(lh_host_stream_open(web1.link, 2, facts, LH_BYTES(point, 33), sig, &stream),
        LH_E_SIGNATURE, "stream-ephemeral");
    point[40] ^= 1;
    assert_lh_refused(
        lh_host_stream_open(web1.link, 2, facts, key, sig, &stream), LH_E_SIGNATURE, "stream-ephemeral");
    assert_lh_refused(
        lh_host_stream_open(web1.link, 2, LH_BYTES(facts.data, facts.len - 1), key, sig, &stream),
        LH_E_CORRUPT, "facts-format");
    agent_sign_open(&web1, 1, facts, point, signature);
    assert_lh_refused(
        lh_host_stream_open(web1.link, 1, facts, key, sig, &stream), LH_E_PROTOCOL, "stream-number");
    agent_sign_open(&web1, 0, facts, point, signature);
    assert_lh_refused(
        lh_host_stream_open(web1.link, 0, facts, key, sig, &stream), LH_E_PROTOCOL, "stream-number");
}

static void test_newest_link_wins(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    uint8_t answer[32];
    lh_host_link *newer = NULL;
    assert_lh_ok(agent_dial(&web1, &newer, answer));
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE); /* a channel alone is nothing yet */
    assert_lh_ok(lh_host_link_activate(newer, answer));
    assert_string_equal(web1.ended, "host-replaced");
    assert_string_equal(wait_ended(lease, 0), "host-lost");
    assert_int_equal(
        use_key(peer, handle_of(peer, "sign", CKO_PRIVATE_KEY), "ecdsa-sha256", LH_USE_SIGN).code, LH_E_GONE);
    lh_peer_unref(peer);
    lh_host_link_closed(newer);
    lh_lease_unref(lease);
}

/* --- 4: the nonce -----------------------------------------------------------------------------------------
 */

static uint8_t kept_nonce[32];
static lh_evidence kept;
static lh_buf kept_facts;

static bool constant_nonce(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)r;
    (void)facts;
    lh_evidence_leaf leaf = e->leaf;
    memset(leaf.nonce, 0x42, 32);
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(a->attester, (1u << 7) | (1u << 16), &leaf, e));
    return true;
}

static bool truncated_nonce(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    lh_buf encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX), shorter = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    assert_lh_ok(lh_evidence_encode(e, &encoded));
    const uint8_t *at = memmem(encoded.data, encoded.len, r->nonce, 32);
    assert_non_null(at);
    size_t before = (size_t)(at - encoded.data) + 31;
    lh_buf_append(&shorter, encoded.data, before);
    lh_buf_append(&shorter, encoded.data + before + 1, encoded.len - before - 1);
    lh_host_link_evidence(a->link, r->stream, lh_buf_bytes(facts), lh_buf_bytes(&shorter));
    lh_buf_free(&encoded);
    lh_buf_free(&shorter);
    return false;
}

/* Keep what is sent, to send it once more. */
static bool keep_evidence(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)a;
    lh_buf encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    memcpy(kept_nonce, r->nonce, 32);
    assert_lh_ok(lh_evidence_encode(e, &encoded));
    assert_lh_ok(lh_evidence_decode(lh_buf_bytes(&encoded), &kept));
    lh_buf_clear(&kept_facts);
    lh_buf_append(&kept_facts, facts->data, facts->len);
    lh_buf_free(&encoded);
    return true;
}

static bool replay_evidence(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)e;
    (void)facts;
    lh_buf encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    assert_lh_ok(lh_evidence_encode(&kept, &encoded));
    lh_host_link_evidence(a->link, r->stream, lh_buf_bytes(&kept_facts), lh_buf_bytes(&encoded));
    lh_buf_free(&encoded);
    return false;
}

/* A good lease first; then a second attempt with that in the agent: refused with that reason, and the first
 * lease has ended by it, unless it is the stream's alone. */
static void refused_by(agent *a, agent_tamper tamper, const char *reason)
{
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(a, 4711, &s, &peer);
    a->tamper = tamper;
    agent_stream *other = agent_open(a, 4712);
    lh_peer *asker = agent_peer(other);
    assert_lh_refused(sign_with(asker, "sign"), LH_E_ATTESTATION, reason);
    assert_string_equal(wait_ended(lease, 0), reason);
    assert_verdict(a->name, reason);
    a->tamper = NULL;
    /* Good evidence, and all is well again. */
    assert_lh_ok(sign_with(asker, "sign"));
    assert_verdict(a->name, "good");
    lh_peer_unref(peer);
    lh_peer_unref(asker);
    lh_lease_unref(lease);
}

static void n04_nonce_constant(void **unused)
{
    (void)unused;
    refused_by(&web1, constant_nonce, "nonce-unknown");
}

static void n04_nonce_truncated(void **unused)
{
    (void)unused;
    refused_by(&web1, truncated_nonce, "evidence-format");
}

static void keep_one(agent *a, pid_t pid)
{
    lh_evidence_init(&kept);
    kept_facts = LH_BUF_INIT(65536);
    a->tamper = keep_evidence;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(a, pid, &s, &peer);
    a->tamper = NULL;
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void drop_kept(void)
{
    lh_evidence_deinit(&kept);
    lh_buf_free(&kept_facts);
}

static void n04_nonce_of_another_stream(void **unused)
{
    (void)unused;
    keep_one(&web1, 4700);
    refused_by(&web1, replay_evidence, "nonce-other-stream");
    drop_kept();
}

static void n04_nonce_of_another_host(void **unused)
{
    (void)unused;
    keep_one(&web2, 4700);
    refused_by(&web1, replay_evidence, "nonce-other-host");
    drop_kept();
}

static void n04_nonce_reused(void **unused)
{
    (void)unused;
    lh_evidence_init(&kept);
    kept_facts = LH_BUF_INIT(65536);
    web1.tamper = keep_evidence;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = replay_evidence;
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "nonce-reused");
    assert_string_equal(wait_ended(lease, 0), "nonce-reused");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    drop_kept();
}

static void n04_nonce_expired(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    /* A question whose time is over before the answer comes: it is told of, and ends nothing. */
    lh_host_request *late = NULL;
    LH_AUTO(lh_rules_unrefp) lh_rules *rules = lh_vault_rules(w.vault);
    assert_lh_ok(lh_host_request_new(s->number, -1, &late));
    web1.deaf = true;
    pthread_mutex_lock(&w.vault->hosts->mutex);
    assert_lh_ok(lh_host_ask(web1.link, late, lh_rules_host_reference(rules, "web-1")));
    lh_quote_request request = {.stream = s->number, .pcr_mask = late->mask, .ima_offset = LH_HOST_IMA_NONE};
    memcpy(request.nonce, late->nonce, 32);
    pthread_mutex_unlock(&w.vault->hosts->mutex);
    for (int i = 0; i < 100 && web1.link->request_count > 0; i++)
        swtpm_sleep_ms(20);
    web1.deaf = false;
    agent_answer(&web1, web1.link, &request);
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    json_t *l = live("web-1");
    assert_string_equal(text_of(json_object_get(l, "evidence"), "stray"), "nonce-expired");
    json_decref(l);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

/* --- 12: relays -------------------------------------------------------------------------------------------
 */

/* The quote of another genuine, enrolled TPM, over just what was asked. */
static bool quote_elsewhere(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)a;
    (void)facts;
    const lh_evidence_leaf leaf = e->leaf;
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(web2.attester, r->pcr_mask, &leaf, e));
    return true;
}

/* The same, and said to be by this host's key. */
static bool quote_elsewhere_as_ours(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    quote_elsewhere(a, r, e, facts);
    lh_buf_clear(&e->ak_public);
    lh_buf_append(&e->ak_public, a->ak.data, a->ak.len);
    return true;
}

static bool other_channel(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    uint8_t exporter[32];
    memcpy(exporter, a->exporter, 32);
    memset(a->exporter, 9, 32);
    lh_evidence_leaf leaf = {0};
    agent_leaf(a, r, facts, &leaf);
    memcpy(a->exporter, exporter, 32);
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(a->attester, r->pcr_mask, &leaf, e));
    return true;
}

static void n12_quote_of_another_tpm(void **unused)
{
    (void)unused;
    refused_by(&web1, quote_elsewhere, "evidence-ak");
}

static void n12_quote_of_another_tpm_under_our_name(void **unused)
{
    (void)unused;
    refused_by(&web1, quote_elsewhere_as_ours, "evidence-signature");
}

static void n12_another_channel(void **unused)
{
    (void)unused;
    refused_by(&web1, other_channel, "evidence-channel");
}

/* --- the process ------------------------------------------------------------------------------------------
 */

static bool other_process(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    agent_stream *s = agent_stream_of(a, r->stream);
    if (!s)
        return true;
    lh_identity now = s->identity;
    now.exe_sha256[0] ^= 1;
    lh_buf_clear(facts);
    lh_facts_encode(&now, facts);
    lh_evidence_leaf leaf = {0};
    agent_leaf(a, r, facts, &leaf);
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(a->attester, r->pcr_mask, &leaf, e));
    return true;
}

static void test_changed_process(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    agent_stream *t = NULL;
    lh_peer *other = NULL;
    lh_lease *untouched = issued(&web1, 4712, &t, &other);
    web1.tamper = other_process;
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "identity-changed");
    assert_string_equal(wait_ended(lease, 0), "changed");
    assert_int_equal(lh_lease_state_of(untouched), LH_LEASE_LIVE); /* it is no fault of the host */
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(untouched);
}

/* The host says that it cannot: no lease, and nothing else ends by it. */
static bool unable(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)e;
    (void)facts;
    lh_host_link_no_evidence(a->link, r->stream, (lh_err){LH_E_TPM}, "tpm-gone", "the TPM\ndoes not answer");
    return false;
}

static void test_no_evidence(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = unable;
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "evidence-none");
    assert_non_null(strstr(lh_err_last()->message, "the TPM?does not answer (tpm-gone)"));
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_no_reference(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    agent_enrol(&web1, "nowhere");
    assert_string_equal(web1.ended, "host-unknown"); /* enrolled anew: it connects anew */
    lh_peer_unref(peer);
    agent_disconnect(&web1);
    agent_connect(&web1);
    s = agent_open(&web1, 4711);
    peer = agent_peer(s);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_DENIED, "no-reference");
    lh_peer_unref(peer);
    agent_enrol(&web1, "web");
}

/* --- holds, retirement ------------------------------------------------------------------------------------
 */

static void test_hold(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    agent_stream *t = NULL;
    lh_peer *peer = NULL;
    lh_peer *other = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    lh_lease *elsewhere = issued(&web2, 4711, &t, &other);
    govern_ok("hold.place", "{\"host\":\"web-1\"}");
    assert_string_equal(wait_ended(lease, 0), "held");
    assert_int_equal(lh_lease_state_of(elsewhere), LH_LEASE_LIVE);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_DENIED, "hold");
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "holds"));
    char params[128];
    snprintf(params, sizeof(params), "{\"hold\":\"%s\"}",
        text_of(json_array_get(json_object_get(reply, "holds"), 0), "id"));
    json_decref(reply);
    govern_ok("hold.lift", params);
    assert_lh_ok(sign_with(peer, "sign"));
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(elsewhere);
}

static void test_retire(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_host_link *link = NULL;
    lh_lease *lease = issued(&web2, 4711, &s, &peer);
    govern_ok("host.retire", "{\"name\":\"web-2\"}");
    assert_string_equal(lh_lease_reason(lease), "policy");
    assert_string_equal(web2.ended, "host-unknown");
    assert_int_equal(sign_with(peer, "sign").code, LH_E_GONE);
    assert_lh_refused(agent_dial(&web2, &link, NULL), LH_E_DENIED, "host-unknown");
    json_t *l = NULL;
    assert_lh_refused(lh_vault_host_live(w.vault, "web-2", &l), LH_E_NOT_FOUND, "host-unknown");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    agent_enrol(&web2, "web");
}

/* --- freshness and drift ----------------------------------------------------------------------------------
 */

static int short_freshness(void **unused)
{
    set_policy(2);
    return connect_both(unused);
}

static int long_freshness(void **unused)
{
    disconnect_both(unused);
    set_policy(60);
    return 0;
}

/* While a lease lives the host is asked anew, and it lives on by the answers. */
static void test_freshness(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    swtpm_sleep_ms(3000);
    assert_int_equal(lh_lease_state_of(lease), LH_LEASE_LIVE);
    assert_in_range(web1.asked[0], 2, 5);
    assert_int_equal(web2.asked[0], 0); /* nothing lives there */
    /* Silence. */
    web1.deaf = true;
    assert_string_equal(wait_ended(lease, 3000), "evidence-stale");
    assert_int_equal(wait_stored(lh_lease_terms_of(lease)->id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_unable(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = unable;
    assert_string_equal(wait_ended(lease, 3000), "evidence-none");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

static void test_link_loss(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer[8];
    lh_lease *lease[8];
    for (int i = 0; i < 8; i++)
        lease[i] = issued(&web1, 4711 + i, &s, &peer[i]);
    int64_t begun = lh_clock_boot_ms();
    agent_disconnect(&web1);
    for (int i = 0; i < 8; i++) {
        lh_peer_unref(peer[i]);
        assert_int_equal(lh_lease_state_of(lease[i]), LH_LEASE_LIVE);
    }
    int64_t first = 0, last = 0;
    for (size_t ended = 0; ended < 8 && lh_clock_boot_ms() - begun < 4000;) {
        swtpm_sleep_ms(20);
        ended = 0;
        for (int i = 0; i < 8; i++)
            ended += lh_lease_state_of(lease[i]) == LH_LEASE_ENDED;
        if (ended > 0 && first == 0)
            first = lh_clock_boot_ms();
        last = lh_clock_boot_ms();
    }
    assert_in_range(last - begun, 1000, 2600);
    assert_true(last - first >= 20); /* not all in one moment */
    for (int i = 0; i < 8; i++) {
        assert_string_equal(wait_ended(lease[i], 0), "host-lost");
        lh_lease_unref(lease[i]);
    }
}

/* A process that the agent lists with other facts, or does not list, loses its leases. */
static bool other_list(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    if (r->stream != 0 || facts->len < 36)
        return true;
    facts->data[20] ^= 1; /* of the first stream */
    lh_evidence_leaf leaf = {0};
    agent_leaf(a, r, facts, &leaf);
    lh_evidence_deinit(e);
    lh_evidence_init(e);
    assert_lh_ok(lh_attester_quote(a->attester, r->pcr_mask, &leaf, e));
    return true;
}

static void test_facts_list(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    agent_stream *t = NULL;
    lh_peer *peer = NULL;
    lh_peer *other = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    lh_lease *untouched = issued(&web1, 4712, &t, &other);
    web1.tamper = other_list;
    assert_string_equal(wait_ended(lease, 3000), "changed");
    assert_int_equal(lh_lease_state_of(untouched), LH_LEASE_LIVE);
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(untouched);
}

static bool torn_list(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    if (r->stream == 0)
        lh_buf_append(facts, "x", 1);
    return other_list(a, r, e, facts);
}

static void test_torn_list(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    web1.tamper = torn_list;
    assert_string_equal(wait_ended(lease, 3000), "facts-list");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
}

/* Something is measured that the reference values do not know: every lease of the host ends, and none is
 * issued until they know it. */
static void test_drift(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    agent_stream *t = NULL;
    lh_peer *peer = NULL;
    lh_peer *other = NULL;
    uint8_t digest[32] = {1}, pcrs[24][32];
    char value[80] = "sha256:";
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    lh_lease *elsewhere = issued(&web2, 4711, &t, &other);
    assert_lh_ok(lh_tpm_pcr_extend(web1.tpm, 16, digest));
    assert_string_equal(wait_ended(lease, 3000), "evidence-pcr");
    assert_int_equal(lh_lease_state_of(elsewhere), LH_LEASE_LIVE);
    json_t *l = live("web-1");
    const json_t *entry = json_array_get(json_object_get(l, "drift"), 0);
    assert_string_equal(text_of(entry, "kind"), "pcr");
    assert_int_equal(json_integer_value(json_object_get(entry, "pcr")), 16);
    json_decref(l);
    assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-pcr");
    for (int i = 0; i < 100 && count_events("host.drifted") == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_events("host.drifted"), 1); /* the same drift is told once */
    assert_lh_ok(lh_tpm_pcr_read(web1.tpm, 1u << 16, pcrs));
    lh_hex(pcrs[16], 32, value + 7);
    set_reference(value);
    assert_lh_ok(sign_with(peer, "sign"));
    assert_verdict("web-1", "good");
    lh_peer_unref(peer);
    lh_peer_unref(other);
    lh_lease_unref(lease);
    lh_lease_unref(elsewhere);
}

/* Started anew: resetCount rises, and what was issued before is over although every value is as it was. A TPM
 * that then shows the older count is a copy of it. */
static void test_reboot_and_copy(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    swtpm copy = {.pid = 0};
    char command[256];
    lh_lease *lease = issued(&web2, 4711, &s, &peer);
    snprintf(copy.folder, sizeof(copy.folder), "/tmp/lh-swtpm-XXXXXX");
    assert_non_null(mkdtemp(copy.folder));
    snprintf(command, sizeof(command), "cp %s/tpm2-00.permall %s/", web2.chip.folder, copy.folder);
    web2.deaf = true;
    agent_stop_chip(&web2);
    swtpm_kill(&web2.chip);
    assert_int_equal(system(command), 0);
    swtpm_run(&web2.chip);
    agent_start_chip(&web2);
    web2.deaf = false;
    assert_string_equal(wait_ended(lease, 3000), "reboot");
    assert_lh_ok(sign_with(peer, "sign"));
    /* Once more, so that the copy is behind. */
    web2.deaf = true;
    agent_stop_chip(&web2);
    swtpm_kill(&web2.chip);
    swtpm_run(&web2.chip);
    agent_start_chip(&web2);
    web2.deaf = false;
    lh_lease_unref(lease);
    lease = remote_lease(s, "sign");
    assert_string_equal(wait_ended(lease, 3000), "reboot");
    assert_lh_ok(sign_with(peer, "sign"));
    swtpm original = web2.chip;
    web2.deaf = true;
    agent_stop_chip(&web2);
    swtpm_kill(&original);
    swtpm_run(&copy);
    web2.chip = copy;
    agent_start_chip(&web2);
    web2.deaf = false;
    lh_lease_unref(lease);
    lease = remote_lease(s, "sign");
    assert_string_equal(wait_ended(lease, 3000), "evidence-reset");
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    agent_disconnect(&web2);
    swtpm_stop(&original);
}

/* --- the vault --------------------------------------------------------------------------------------------
 */

static void test_events_are_few(void **unused)
{
    (void)unused;
    int connected = count_events("host.connected"), refused = count_events("host.evidence-refused");
    for (int i = 0; i < 10; i++) {
        agent_disconnect(&web1);
        agent_connect(&web1);
    }
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    web1.tamper = truncated_nonce;
    for (int i = 0; i < 20; i++)
        assert_lh_refused(sign_with(peer, "sign"), LH_E_ATTESTATION, "evidence-format");
    swtpm_sleep_ms(300);
    assert_in_range(count_events("host.connected") - connected, 0, 1);
    assert_in_range(count_events("host.evidence-refused") - refused, 0, 2);
    lh_peer_unref(peer);
}

static void test_restart_of_the_vault(void **unused)
{
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    uint8_t id[LH_LEASE_ID_SIZE];
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    memcpy(id, lh_lease_terms_of(lease)->id, sizeof(id));
    disconnect_both(unused);
    lh_peer_unref(peer);
    lh_lease_unref(lease);
    close_vault();
    open_vault();
    assert_int_equal(wait_stored(id, LH_LEASE_ENDED), LH_LEASE_ENDED);
    json_t *l = live("web-1");
    assert_false(json_is_true(json_object_get(l, "connected")));
    json_decref(l);
    connect_both(unused);
    lease = issued(&web1, 4711, &s, &peer);
    lh_lease_unref(lease);
    lh_peer_unref(peer);
}

static void test_sealing_ends_links(void **unused)
{
    (void)unused;
    agent_stream *s = agent_open(&web1, 4711);
    lh_peer *peer = agent_peer(s);
    lh_host_link *link = NULL;
    govern_ok("vault.seal", "{}");
    assert_string_equal(web1.ended, "vault-sealed");
    assert_int_equal(sign_with(peer, "sign").code, LH_E_STATE);
    assert_int_equal(agent_dial(&web1, &link, NULL).code, LH_E_STATE);
    lh_peer_unref(peer);
    govern_ok("vault.unseal", "{}");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, connect_both, disconnect_both)
#define FRESH(name) cmocka_unit_test_setup_teardown(name, short_freshness, long_freshness)
    const struct CMUnitTest tests[] = {
        CASE(test_issue),
        CASE(test_renew),
        CASE(test_hundred_streams),
        CASE(test_slots_are_the_leased_one),
        CASE(test_activation),
        CASE(test_open_refused),
        CASE(test_newest_link_wins),
        CASE(n04_nonce_constant),
        CASE(n04_nonce_truncated),
        CASE(n04_nonce_of_another_stream),
        CASE(n04_nonce_of_another_host),
        CASE(n04_nonce_reused),
        CASE(n04_nonce_expired),
        CASE(n12_quote_of_another_tpm),
        CASE(n12_quote_of_another_tpm_under_our_name),
        CASE(n12_another_channel),
        CASE(test_changed_process),
        CASE(test_no_evidence),
        CASE(test_no_reference),
        CASE(test_hold),
        CASE(test_retire),
        FRESH(test_freshness),
        FRESH(test_unable),
        FRESH(test_link_loss),
        FRESH(test_facts_list),
        FRESH(test_torn_list),
        FRESH(test_drift),
        CASE(test_events_are_few),
        CASE(test_restart_of_the_vault),
        CASE(test_sealing_ends_links),
        FRESH(test_reboot_and_copy),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

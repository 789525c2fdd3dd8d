/* Hosts: links, streams, leases on the evidence of another TPM. The numbers are those of the list of evidence
 * that must be refused (docs/attestation.md). */
#include "host_fixture.h"

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

/* What officers are told of a process elsewhere. */
static void test_told(void **unused)
{
    (void)unused;
    agent_stream *s = NULL;
    lh_peer *peer = NULL;
    lh_lease *lease = issued(&web1, 4711, &s, &peer);
    json_t *reply = ask_ok(json_pack("{s:s}", "call", "leases"));
    const json_t *line = json_array_get(json_object_get(reply, "leases"), 0);
    assert_string_equal(text_of(line, "host"), "web-1");
    assert_string_equal(text_of(line, "source"), "192.0.2.7");
    assert_string_equal(text_of(line, "assurance"), "host");
    json_decref(reply);
    reply = ask_ok(
        json_pack("{s:s, s:s, s:i, s:s}", "call", "explain", "role", "sign", "pid", 4711, "host", "web-1"));
    assert_true(json_is_true(json_object_get(reply, "allowed")));
    json_decref(reply);
    ask_refused(
        json_pack("{s:s, s:s, s:i, s:s}", "call", "explain", "role", "sign", "pid", 4712, "host", "web-1"),
        "process-unknown");
    web1.tamper = truncated_nonce;
    assert_lh_refused(sign_with(peer, "once"), LH_E_ATTESTATION, "evidence-format");
    reply = ask_ok(json_pack("{s:s}", "call", "refusals"));
    line = json_array_get(json_object_get(reply, "refusals"), 0);
    assert_string_equal(text_of(line, "host"), "web-1");
    assert_string_equal(text_of(line, "reason"), "evidence-format");
    json_decref(reply);
    const lh_admin_caller nobody = {getuid(), getpid(), false};
    lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    assert_lh_ok(lh_vault_admin(w.vault, &nobody, LH_BYTES_STR("{\"call\":\"refusals\"}"), &out));
    assert_null(memmem(out.data, out.len, "web-1", 5)); /* a uid there is nobody's here */
    lh_buf_free(&out);
    lh_peer_unref(peer);
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

/* An answer to one challenge, overheard or relayed, opens no other channel, and takes no host's place. */
static void n10_activation_answer_replayed(void **unused)
{
    (void)unused;
    uint8_t first[32], exporter[32], relayed[32];
    lh_host_link *link = NULL;
    lh_host_link *replaced = web1.link;
    assert_lh_ok(agent_dial(&web1, &link, first));
    memcpy(exporter, web1.exporter, sizeof(exporter));
    lh_host_link_closed(link); /* nobody has given this answer yet */
    assert_lh_ok(agent_dial(&web1, &link, NULL));
    assert_lh_refused(lh_host_link_activate(link, first), LH_E_ATTESTATION, "activate-wrong");
    lh_host_link_closed(link);
    /* The same, were the channel's secrets the same: another challenge has another secret. */
    assert_lh_ok(agent_dial(&web1, &link, NULL));
    memcpy(link->options.exporter, exporter, sizeof(exporter));
    assert_lh_refused(lh_host_link_activate(link, first), LH_E_ATTESTATION, "activate-wrong");
    lh_host_link_closed(link);
    /* The very challenge, handed on to the true host over a channel of one's own: it answers for that one. */
    assert_lh_ok(agent_dial(&web1, &link, relayed));
    link->options.exporter[0] ^= 1;
    assert_lh_refused(lh_host_link_activate(link, relayed), LH_E_ATTESTATION, "activate-wrong");
    link->options.exporter[0] ^= 1;
    assert_lh_refused(lh_host_link_activate(link, relayed), LH_E_ATTESTATION, "activate-twice");
    lh_host_link_closed(link);
    /* None of this has touched the host's own link; its own answer, once more on another link, does not. */
    assert_string_equal(web1.ended, "");
    assert_ptr_equal(replaced->host->link, replaced);
    assert_lh_ok(agent_dial(&web1, &link, first));
    assert_lh_ok(lh_host_link_activate(link, first));
    assert_string_equal(web1.ended, "host-replaced");
    const char *told = "\"event\":\"host.lost\",\"host\":\"web-1\",\"reason\":\"replaced\"";
    for (int i = 0; i < 100 && count_entries(told) == 0; i++)
        swtpm_sleep_ms(20);
    assert_int_equal(count_entries(told), 1); /* two agents that replace each other show in the log */
    lh_host_link *again = NULL;
    assert_lh_ok(agent_dial(&web1, &again, NULL));
    assert_lh_refused(lh_host_link_activate(again, first), LH_E_ATTESTATION, "activate-wrong");
    lh_host_link_closed(again);
    assert_ptr_equal(link->host->link, link);
    lh_host_link_closed(link);
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
    a->tamper = (agent_tamper)0;
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
    a->tamper = (agent_tamper)0;
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
    agent_deafen(&web1, true);
    pthread_mutex_lock(&w.vault->hosts->mutex);
    assert_lh_ok(lh_host_ask(web1.link, late, lh_rules_host_reference(rules, "web-1")));
    lh_quote_request request = {.stream = s->number, .pcr_mask = late->mask, .ima_offset = LH_HOST_IMA_NONE};
    memcpy(request.nonce, late->nonce, 32);
    pthread_mutex_unlock(&w.vault->hosts->mutex);
    for (size_t i = 0, left = 1; i < 100 && left > 0; i++) {
        swtpm_sleep_ms(20);
        pthread_mutex_lock(&w.vault->hosts->mutex);
        left = web1.link->request_count;
        pthread_mutex_unlock(&w.vault->hosts->mutex);
    }
    agent_deafen(&web1, false);
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
    now.tracer_pid = 4799;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_issue),
        CASE(test_told),
        CASE(test_renew),
        CASE(test_hundred_streams),
        CASE(test_slots_are_the_leased_one),
        CASE(test_activation),
        CASE(n10_activation_answer_replayed),
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
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

/* Hosts for tests of the vault: a software TPM each, and an agent that is a thread here: it answers the
 * vault's questions with real quotes, as truly as a test lets it. */
#ifndef TESTS_UNIT_VAULT_HOST_FIXTURE_H
#define TESTS_UNIT_VAULT_HOST_FIXTURE_H

#include "fixture.h"

#include "attester/attester.h"
#include "codec/base64.h"
#include "codec/tpms.h"
#include "crypto/hash.h"
#include "identity/facts.h"
#include "vault/host_internal.h"

#define QUEUE 512
#define STREAMS 128

typedef struct agent agent;

/* What the agent is about to send; a test may change it. False: nothing is sent. */
typedef bool (*agent_tamper)(agent *a, const lh_quote_request *request, lh_evidence *evidence, lh_buf *facts);

typedef struct {
    uint32_t number; /* 0: free */
    lh_identity identity;
    lh_buf facts;
    uint8_t ephemeral[32]; /* SHA-256 of the point */
    lh_host_stream *stream;
} agent_stream;

struct agent {
    const char *name;
    swtpm chip;
    lh_tpm *tpm;
    lh_crypto *c;
    lh_attester *attester;
    lh_buf ek, ak;
    uint16_t ek_kind;
    uint8_t channel_key[32], exporter[32];
    lh_host_link *link;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    lh_quote_request queue[QUEUE];
    size_t head, tail;
    bool stopping;
    bool deaf; /* takes questions, and says nothing: agent_deafen */
    bool busy;
    char ended[64];
    unsigned asked[2]; /* questions about the host as such; about streams */
    _Atomic(agent_tamper) tamper;
    uint32_t next_number;
    agent_stream streams[STREAMS];
    lh_buf events, ima;                                                    /* logs; empty: none */
    void (*send)(void *arg, uint32_t stream, uint8_t type, lh_bytes body); /* frames of custody; or NULL */
};

/* --- the agent's side --------------------------------------------------------------------------------------
 */

static inline void agent_ask(void *arg, const lh_quote_request *request)
{
    agent *a = arg;
    pthread_mutex_lock(&a->mutex);
    assert_true(a->tail - a->head < QUEUE);
    a->queue[a->tail++ % QUEUE] = *request;
    a->asked[request->stream != 0]++;
    pthread_cond_broadcast(&a->wake);
    pthread_mutex_unlock(&a->mutex);
}

static inline void agent_end(void *arg, const char *reason, const char *message)
{
    agent *a = arg;
    (void)message;
    pthread_mutex_lock(&a->mutex);
    snprintf(a->ended, sizeof(a->ended), "%s", reason);
    pthread_mutex_unlock(&a->mutex);
}

static inline void agent_number(uint32_t n, uint8_t out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(n >> (24 - 8 * i));
}

static inline agent_stream *agent_stream_of(agent *a, uint32_t number)
{
    for (size_t i = 0; i < STREAMS; i++)
        if (a->streams[i].number == number)
            return &a->streams[i];
    return NULL;
}

/* Under its mutex. */
static inline void agent_facts(agent *a, uint32_t number, lh_buf *facts)
{
    if (number != 0) {
        agent_stream *s = agent_stream_of(a, number);
        if (s)
            lh_buf_append(facts, s->facts.data, s->facts.len);
        return;
    }
    for (uint32_t n = 1; n < a->next_number; n++) {
        agent_stream *s = agent_stream_of(a, n);
        if (!s)
            continue;
        uint8_t hash[32];
        const lh_bytes bytes = lh_buf_bytes(&s->facts);
        assert_lh_ok(lh_sha256(a->c, &bytes, 1, hash));
        lh_put_u32(facts, n);
        lh_put_raw(facts, hash, sizeof(hash));
    }
}

static inline void agent_leaf(
    agent *a, const lh_quote_request *r, const lh_buf *facts, lh_evidence_leaf *leaf)
{
    uint8_t number[4];
    agent_number(r->stream, number);
    const lh_bytes parts[] = {
        LH_BYTES_STR("leasehold-channel-tls-v1"), LH_BYTES(a->exporter, 32), LH_BYTES(number, 4)};
    const lh_bytes bytes = lh_buf_bytes(facts);
    memcpy(leaf->nonce, r->nonce, 32);
    assert_lh_ok(lh_sha256(a->c, &bytes, 1, leaf->facts));
    assert_lh_ok(lh_sha256(a->c, parts, 3, leaf->channel));
    agent_stream *s = r->stream ? agent_stream_of(a, r->stream) : NULL;
    if (s)
        memcpy(leaf->ephemeral, s->ephemeral, 32);
    else
        assert_lh_ok(lh_sha256(a->c, NULL, 0, leaf->ephemeral));
}

static inline void agent_send_logs(agent *a, lh_host_link *link, const lh_quote_request *r)
{
    if (r->want_event_log && a->events.len > 0)
        assert_lh_ok(lh_host_link_log(link, LH_LOG_EVENTS, 0, lh_buf_bytes(&a->events)));
    if (r->ima_offset < a->ima.len)
        assert_lh_ok(lh_host_link_log(link, LH_LOG_IMA, r->ima_offset,
            LH_BYTES(a->ima.data + r->ima_offset, a->ima.len - r->ima_offset)));
}

static inline void agent_answer(agent *a, lh_host_link *link, const lh_quote_request *r)
{
    lh_evidence evidence;
    lh_evidence_leaf leaf;
    lh_buf facts = LH_BUF_INIT(65536), encoded = LH_BUF_INIT(LH_EVIDENCE_SIZE_MAX);
    lh_evidence_init(&evidence);
    pthread_mutex_lock(&a->mutex);
    agent_facts(a, r->stream, &facts);
    agent_leaf(a, r, &facts, &leaf);
    pthread_mutex_unlock(&a->mutex);
    agent_send_logs(a, link, r);
    if (lh_ok(lh_attester_quote(a->attester, r->pcr_mask, &leaf, &evidence))) {
        agent_tamper tamper = atomic_load(&a->tamper);
        if (!tamper || tamper(a, r, &evidence, &facts)) {
            assert_lh_ok(lh_evidence_encode(&evidence, &encoded));
            lh_host_link_evidence(link, r->stream, lh_buf_bytes(&facts), lh_buf_bytes(&encoded));
        }
    } else {
        lh_host_link_no_evidence(link, r->stream, (lh_err){LH_E_TPM}, "tpm-gone", "the TPM does not answer");
    }
    lh_evidence_deinit(&evidence);
    lh_buf_free(&facts);
    lh_buf_free(&encoded);
}

static inline void *agent_main(void *arg)
{
    agent *a = arg;
    pthread_mutex_lock(&a->mutex);
    for (;;) {
        while (!a->stopping && a->head == a->tail)
            pthread_cond_wait(&a->wake, &a->mutex);
        if (a->stopping)
            break;
        lh_quote_request request = a->queue[a->head++ % QUEUE];
        bool deaf = a->deaf;
        a->busy = !deaf;
        lh_host_link *link = a->link;
        pthread_mutex_unlock(&a->mutex);
        if (!deaf)
            agent_answer(a, link, &request);
        pthread_mutex_lock(&a->mutex);
        a->busy = false;
        pthread_cond_broadcast(&a->wake);
    }
    pthread_mutex_unlock(&a->mutex);
    return NULL;
}

/* From now on it says nothing (nor is it saying anything), or speaks again. */
static inline void agent_deafen(agent *a, bool deaf)
{
    pthread_mutex_lock(&a->mutex);
    a->deaf = deaf;
    while (a->busy)
        pthread_cond_wait(&a->wake, &a->mutex);
    pthread_mutex_unlock(&a->mutex);
}

/* How often it was asked about itself. */
static inline unsigned agent_asked(agent *a)
{
    pthread_mutex_lock(&a->mutex);
    unsigned asked = a->asked[0];
    pthread_mutex_unlock(&a->mutex);
    return asked;
}

/* --- enrolling
 * ---------------------------------------------------------------------------------------------- */

static inline void agent_start_chip(agent *a)
{
    a->tpm = swtpm_open(&a->chip);
    const lh_attester_options options = {.tpm = a->tpm, .crypto = a->c, .event_log_fd = -1, .ima_log_fd = -1};
    assert_lh_ok(lh_attester_new(&options, &a->attester));
}

static inline void agent_stop_chip(agent *a)
{
    lh_attester_free(a->attester);
    lh_tpm_close(a->tpm);
    a->attester = NULL;
    a->tpm = NULL;
}

static inline void agent_setup(agent *a, const char *name)
{
    memset(a, 0, sizeof(*a));
    a->name = name;
    a->ek_kind = LH_TPMS_ALG_ECC;
    a->ek = a->ak = LH_BUF_INIT(1024);
    a->events = a->ima = LH_BUF_INIT(1 << 20);
    pthread_mutex_init(&a->mutex, NULL);
    pthread_cond_init(&a->wake, NULL);
    assert_lh_ok(lh_crypto_new(&a->c));
    swtpm_start(&a->chip);
    agent_start_chip(a);
    assert_lh_ok(lh_tpm_ek_public(a->tpm, a->ek_kind, &a->ek));
    assert_lh_ok(lh_tpm_ak_public(a->tpm, &a->ak));
    lh_random(a->channel_key, sizeof(a->channel_key));
}

static inline void agent_teardown(agent *a)
{
    agent_stop_chip(a);
    swtpm_stop(&a->chip);
    lh_buf_free(&a->ek);
    lh_buf_free(&a->ak);
    lh_buf_free(&a->events);
    lh_buf_free(&a->ima);
    lh_crypto_free(a->c);
    pthread_mutex_destroy(&a->mutex);
    pthread_cond_destroy(&a->wake);
}

static inline void agent_enrol(agent *a, const char *reference)
{
    uint8_t hash[32];
    char hex[65], channel[65], params[8192];
    lh_buf ek = LH_BUF_INIT(4096), ak = LH_BUF_INIT(4096);
    const lh_bytes ek_public = lh_buf_bytes(&a->ek);
    assert_lh_ok(lh_sha256(a->c, &ek_public, 1, hash));
    lh_hex(hash, sizeof(hash), hex);
    lh_hex(a->channel_key, sizeof(a->channel_key), channel);
    lh_base64_encode(ek_public, &ek);
    lh_base64_encode(lh_buf_bytes(&a->ak), &ak);
    snprintf(params, sizeof(params),
        "{\"name\":\"%s\",\"ek\":\"%.*s\",\"ek-sha256\":\"%s\",\"ak\":\"%.*s\",\"channel-key\":\"%s\","
        "\"ek-proof\":\"pinned\",\"labels\":{\"env\":\"prod\"},\"reference\":\"%s\"}",
        a->name, (int)ek.len, (char *)ek.data, hex, (int)ak.len, (char *)ak.data, channel, reference);
    govern_ok("host.enrol", params);
    lh_buf_free(&ek);
    lh_buf_free(&ak);
}

/* --- the channel
 * -------------------------------------------------------------------------------------------- */

static inline lh_err agent_dial(agent *a, lh_host_link **ret, uint8_t answer[32])
{
    lh_host_link_options options = {
        .source = "192.0.2.7", .ask = agent_ask, .send = a->send, .end = agent_end, .arg = a};
    lh_buf id_object = LH_BUF_INIT(1024), encrypted = LH_BUF_INIT(1024);
    memcpy(options.channel_key, a->channel_key, 32);
    lh_random(a->exporter, sizeof(a->exporter));
    memcpy(options.exporter, a->exporter, 32);
    lh_err err = lh_host_link_new(w.vault, &options, &id_object, &encrypted, ret);
    lh_secret *secret = NULL;
    if (lh_ok(err) && answer) {
        assert_lh_ok(
            lh_tpm_activate(a->tpm, a->ek_kind, lh_buf_bytes(&id_object), lh_buf_bytes(&encrypted), &secret));
        const lh_bytes parts[] = {LH_BYTES_STR("leasehold-activate-v1"), LH_BYTES(a->exporter, 32)};
        assert_lh_ok(lh_hmac_sha256(a->c, lh_secret_bytes(secret), parts, 2, answer));
        lh_secret_free(secret);
    }
    lh_buf_free(&id_object);
    lh_buf_free(&encrypted);
    return err;
}

static inline void agent_connect(agent *a)
{
    uint8_t answer[32];
    a->stopping = a->deaf = a->busy = false;
    a->tamper = (agent_tamper)0;
    a->head = a->tail = 0;
    a->asked[0] = a->asked[1] = 0;
    a->ended[0] = '\0';
    a->next_number = 1;
    assert_lh_ok(agent_dial(a, &a->link, answer));
    assert_lh_ok(lh_host_link_activate(a->link, answer));
    assert_string_equal(lh_host_link_name(a->link), a->name);
    assert_int_equal(pthread_create(&a->thread, NULL, agent_main, a), 0);
}

static inline void agent_drop_stream(agent *a, agent_stream *s)
{
    pthread_mutex_lock(&a->mutex);
    lh_buf_free(&s->facts);
    lh_host_stream_unref(s->stream);
    *s = (agent_stream){0};
    pthread_mutex_unlock(&a->mutex);
}

/* The channel is lost. */
static inline void agent_disconnect(agent *a)
{
    pthread_mutex_lock(&a->mutex);
    a->stopping = true;
    pthread_cond_broadcast(&a->wake);
    pthread_mutex_unlock(&a->mutex);
    pthread_join(a->thread, NULL);
    lh_host_link_closed(a->link);
    a->link = NULL;
    for (size_t i = 0; i < STREAMS; i++)
        if (a->streams[i].number)
            agent_drop_stream(a, &a->streams[i]);
}

/* --- streams
 * ------------------------------------------------------------------------------------------------ */

static inline void agent_sign_open(
    agent *a, uint32_t number, lh_bytes facts, uint8_t point[65], uint8_t signature[64])
{
    lh_secret *scalar = NULL;
    lh_key *key = NULL;
    lh_buf public = LH_BUF_INIT(65), out = LH_BUF_INIT(64), text = LH_BUF_INIT(256);
    assert_lh_ok(lh_secret_random(32, &scalar));
    lh_secret_data(scalar)[0] = 1; /* below the order */
    assert_lh_ok(lh_key_new(a->c, LH_KEY_EC_P256, scalar, &key));
    assert_lh_ok(lh_key_public_point(key, &public));
    uint8_t hash[32];
    assert_lh_ok(lh_sha256(a->c, &facts, 1, hash));
    lh_buf_append_str(&text, "leasehold-open-v1");
    lh_put_raw(&text, a->exporter, 32);
    lh_put_u32(&text, number);
    lh_put_raw(&text, hash, 32);
    const lh_op_request op = {.key = key,
        .row = lh_mechanism_by_name("ecdsa-sha256"),
        .use = LH_USE_SIGN,
        .data = lh_buf_bytes(&text)};
    assert_lh_ok(lh_op_once(a->c, &op, &out));
    memcpy(point, public.data, 65);
    memcpy(signature, out.data, 64);
    lh_buf_free(&public);
    lh_buf_free(&out);
    lh_buf_free(&text);
    lh_key_free(key);
    lh_secret_free(scalar);
}

/* A process there: this one, by another pid. */
static inline void agent_process(pid_t pid, lh_identity *ret)
{
    int pidfd = -1;
    assert_lh_ok(lh_pidfd_open(getpid(), &pidfd));
    assert_lh_ok(lh_identity_read(w.identity, getpid(), pidfd, ret));
    close(pidfd);
    ret->pid = pid;
}

static inline agent_stream *agent_open_as(agent *a, const lh_identity *identity)
{
    uint8_t point[65], signature[64];
    agent_stream *s = agent_stream_of(a, 0);
    assert_non_null(s);
    lh_buf facts = LH_BUF_INIT(LH_FACTS_MAX);
    lh_facts_encode(identity, &facts);
    const lh_bytes bytes = lh_buf_bytes(&facts);
    uint32_t number = a->next_number;
    agent_sign_open(a, number, bytes, point, signature);
    lh_host_stream *stream = NULL;
    assert_lh_ok(
        lh_host_stream_open(a->link, number, bytes, LH_BYTES(point, 65), LH_BYTES(signature, 64), &stream));
    const lh_bytes key = LH_BYTES(point, 65);
    pthread_mutex_lock(&a->mutex);
    *s = (agent_stream){number, *identity, facts, {0}, stream};
    assert_lh_ok(lh_sha256(a->c, &key, 1, s->ephemeral));
    a->next_number++;
    pthread_mutex_unlock(&a->mutex);
    return s;
}

static inline agent_stream *agent_open(agent *a, pid_t pid)
{
    lh_identity identity;
    agent_process(pid, &identity);
    return agent_open_as(a, &identity);
}

static inline lh_peer *agent_peer(agent_stream *s)
{
    const lh_peer_options options = {.remote = lh_host_stream_ref(s->stream),
        .pid = lh_host_stream_pid(s->stream),
        .pidfd = -1,
        .uid = lh_host_stream_uid(s->stream),
        .gid = lh_host_stream_gid(s->stream)};
    lh_peer *peer = NULL;
    assert_lh_ok(lh_peer_new(w.vault, &options, &peer));
    return peer;
}

/* --- what the vault says
 * ------------------------------------------------------------------------------------ */

static inline lh_lease *remote_lease(const agent_stream *s, const char *role)
{
    pthread_mutex_lock(&w.vault->mutex);
    lh_lease *lease =
        lh_lease_table_by_stream(w.vault->leases, s->identity.pid, lh_host_stream_instance(s->stream), role);
    if (lease)
        lh_lease_ref(lease);
    pthread_mutex_unlock(&w.vault->mutex);
    return lease;
}

/* Wait until a lease has ended, at most so long; its reason. */
static inline const char *wait_ended(const lh_lease *lease, int ms)
{
    for (int i = 0; i < ms / 20 && lh_lease_state_of(lease) != LH_LEASE_ENDED; i++)
        swtpm_sleep_ms(20);
    return lh_lease_state_of(lease) == LH_LEASE_ENDED ? lh_lease_reason(lease) : "it has not ended";
}

static inline json_t *live(const char *name)
{
    json_t *ret = NULL;
    assert_lh_ok(lh_vault_host_live(w.vault, name, &ret));
    return ret;
}

static inline void assert_verdict(const char *name, const char *verdict)
{
    json_t *l = live(name);
    assert_string_equal(text_of(json_object_get(l, "evidence"), "verdict"), verdict);
    json_decref(l);
}

/* --- two hosts and a vault ---------------------------------------------------------------------------------
 */

static agent web1, web2;

static const char zero_pcr[] = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/* web: PCRs 7 and 16 as a fresh software TPM has them, PCR 16 also as the second argument has it. */
static inline void set_reference(const char *also)
{
    char text[2048];
    snprintf(text, sizeof(text),
        "references:\n  vault:\n    pcrs: { 7: [\"%s\"] }\n"
        "  web:\n    pcrs: { 7: [\"%s\"], 16: [\"%s\"%s%s%s] }\nself:\n  reference: vault\n",
        zero_pcr, zero_pcr, zero_pcr, also ? ", \"" : "", also ? also : "", also ? "\"" : "");
    govern_ok("reference.set", text);
}

static inline void set_policy(int freshness)
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

static inline int group_setup(void **unused)
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

static inline int group_teardown(void **unused)
{
    agent_teardown(&web1);
    agent_teardown(&web2);
    return world_teardown(unused);
}

static inline int connect_both(void **unused)
{
    (void)unused;
    agent_connect(&web1);
    agent_connect(&web2);
    return 0;
}

static inline int disconnect_both(void **unused)
{
    (void)unused;
    if (web1.link)
        agent_disconnect(&web1);
    if (web2.link)
        agent_disconnect(&web2);
    return 0;
}

/* A lease of a process on that host; its peer is the caller's. */
static inline lh_lease *issued(agent *a, pid_t pid, agent_stream **ret_stream, lh_peer **ret_peer)
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

static inline bool truncated_nonce(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
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

/* The host says that it cannot: no lease, and nothing else ends by it. */
static inline bool unable(agent *a, const lh_quote_request *r, lh_evidence *e, lh_buf *facts)
{
    (void)e;
    (void)facts;
    lh_host_link_no_evidence(a->link, r->stream, (lh_err){LH_E_TPM}, "tpm-gone", "the TPM\ndoes not answer");
    return false;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, connect_both, disconnect_both)

#endif

/* A vault's network side for tests of the agent: takes links on a Unix socket, says what a test has it say,
 * and keeps what the agent sends. */
#ifndef LH_TESTS_VAULT_FIXTURE_H
#define LH_TESTS_VAULT_FIXTURE_H

#include "../tpm_fixture.h"

#include "channel/channel.h"
#include "crypto/credential.h"
#include "crypto/hash.h"
#include "proc/fd.h"
#include "serve/loop.h"

#include <poll.h>
#include <pthread.h>

#define VAULT_WAIT_MS 10000

typedef struct vault_frame {
    struct vault_frame *next;
    lh_buf bytes;
    lh_link_frame frame;
} vault_frame;

typedef struct {
    char path[96];
    lh_crypto *crypto;
    lh_loop *loop;
    lh_secret *key;
    lh_channel_identity *identity;
    int listener;
    lh_channel *channel; /* of the loop */
    int accepted;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ready, closed;
    char reason[64];
    uint8_t exporter[32], peer[32];
    vault_frame *frames;
    vault_frame *current; /* handed out last */
    lh_buf out;
    bool done;
    bool sent;
} fake_vault;

static inline void vault_signal(fake_vault *v, bool *flag)
{
    pthread_mutex_lock(&v->mutex);
    *flag = true;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->mutex);
}

static inline bool vault_wait_ms(fake_vault *v, const bool *flag, long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&v->mutex);
    while (!*flag && pthread_cond_timedwait(&v->changed, &v->mutex, &until) == 0)
        ;
    bool is = *flag;
    pthread_mutex_unlock(&v->mutex);
    return is;
}

static inline void vault_on_ready(lh_channel *channel, void *arg)
{
    fake_vault *v = arg;
    memcpy(v->exporter, lh_channel_exporter(channel), 32);
    memcpy(v->peer, lh_channel_peer(channel), 32);
    vault_signal(v, &v->ready);
}

static inline void vault_on_frame(lh_channel *channel, lh_bytes bytes, void *arg)
{
    (void)channel;
    fake_vault *v = arg;
    vault_frame *f = calloc(1, sizeof(*f));
    f->bytes = LH_BUF_INIT(LH_LINK_SIZE_MAX);
    lh_buf_append(&f->bytes, bytes.data, bytes.len);
    if (!lh_ok(lh_link_decode(lh_buf_bytes(&f->bytes), LH_LINK_AGENT, &f->frame)))
        abort();
    pthread_mutex_lock(&v->mutex);
    vault_frame **at = &v->frames;
    while (*at)
        at = &(*at)->next;
    *at = f;
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->mutex);
}

static inline void vault_on_closed(lh_channel *channel, const char *reason, const char *message, void *arg)
{
    fake_vault *v = arg;
    (void)message;
    snprintf(v->reason, sizeof(v->reason), "%s", reason);
    lh_channel_free(channel);
    v->channel = NULL;
    vault_signal(v, &v->closed);
}

static inline void vault_begin(void *arg)
{
    fake_vault *v = arg;
    const lh_channel_options options = {.base = lh_loop_base(v->loop),
        .role = LH_CHANNEL_SERVER,
        .fd = v->accepted,
        .identity = v->identity,
        .ready = vault_on_ready,
        .frame = vault_on_frame,
        .closed = vault_on_closed,
        .arg = v};
    if (!lh_ok(lh_channel_new(&options, &v->channel)))
        abort();
}

static inline void vault_cut_now(void *arg)
{
    fake_vault *v = arg;
    lh_channel_free(v->channel);
    v->channel = NULL;
    vault_signal(v, &v->done);
}

static inline void vault_send_now(void *arg)
{
    fake_vault *v = arg;
    v->sent = v->channel && lh_ok(lh_channel_send(v->channel, lh_buf_bytes(&v->out)));
    vault_signal(v, &v->done);
}

static inline void vault_run(fake_vault *v, lh_loop_fn fn)
{
    v->done = false;
    lh_loop_post(v->loop, fn, v);
    assert_true(vault_wait_ms(v, &v->done, VAULT_WAIT_MS));
}

static inline void vault_listen(fake_vault *v)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", v->path);
    unlink(v->path);
    v->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(v->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(v->listener, 4), 0);
}

static inline void vault_start(fake_vault *v, lh_crypto *crypto, const char *path)
{
    *v = (fake_vault){.crypto = crypto, .listener = -1, .out = LH_BUF_INIT(LH_LINK_SIZE_MAX)};
    snprintf(v->path, sizeof(v->path), "%s", path);
    pthread_mutex_init(&v->mutex, NULL);
    pthread_cond_init(&v->changed, NULL);
    assert_lh_ok(lh_loop_new(&v->loop));
    assert_lh_ok(lh_channel_key_generate(crypto, &v->key));
    assert_lh_ok(lh_channel_identity_new(crypto, v->key, &v->identity));
    vault_listen(v);
}

static inline void vault_drop_frames(fake_vault *v)
{
    while (v->frames) {
        vault_frame *f = v->frames;
        v->frames = f->next;
        lh_buf_free(&f->bytes);
        free(f);
    }
    if (v->current) {
        lh_buf_free(&v->current->bytes);
        free(v->current);
    }
    v->current = NULL;
}

/* The link is cut, and nobody listens. */
static inline void vault_away(fake_vault *v)
{
    lh_fd_close(v->listener);
    v->listener = -1;
    unlink(v->path);
    vault_run(v, vault_cut_now);
}

static inline void vault_stop(fake_vault *v)
{
    vault_away(v);
    lh_loop_free(v->loop);
    vault_drop_frames(v);
    lh_buf_free(&v->out);
    lh_channel_identity_free(v->identity);
    lh_secret_free(v->key);
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->mutex);
}

/* The next dial's socket. */
static inline void vault_accept_raw(fake_vault *v)
{
    struct pollfd p = {.fd = v->listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, VAULT_WAIT_MS), 1);
    v->accepted = accept4(v->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(v->accepted >= 0);
}

/* The next link, up to the end of its handshake. */
static inline void vault_accept(fake_vault *v)
{
    vault_accept_raw(v);
    v->ready = v->closed = false;
    vault_drop_frames(v);
    lh_loop_post(v->loop, vault_begin, v);
    assert_true(vault_wait_ms(v, &v->ready, VAULT_WAIT_MS));
}

static inline void vault_send(fake_vault *v, enum lh_link_type type, uint32_t stream, const void *value)
{
    assert_lh_ok(lh_link_encode(type, stream, value, &v->out));
    vault_run(v, vault_send_now);
}

static inline bool vault_has_frame(fake_vault *v, long ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&v->mutex);
    while (!v->frames && pthread_cond_timedwait(&v->changed, &v->mutex, &until) == 0)
        ;
    bool has = v->frames != NULL;
    pthread_mutex_unlock(&v->mutex);
    return has;
}

/* The next frame, which must be of that type; its body into ret where that is not NULL. Borrowed until the
 * next. Returns its stream. */
static inline uint32_t vault_expect(fake_vault *v, enum lh_link_type type, void *ret)
{
    if (!vault_has_frame(v, VAULT_WAIT_MS))
        fail_msg("no frame came, %s was expected", lh_link_find((unsigned)type)->name);
    if (v->current) {
        lh_buf_free(&v->current->bytes);
        free(v->current);
    }
    pthread_mutex_lock(&v->mutex);
    v->current = v->frames;
    v->frames = v->current->next;
    pthread_mutex_unlock(&v->mutex);
    if (v->current->frame.row->type != type)
        fail_msg("%s came, %s was expected", v->current->frame.row->name, lh_link_find((unsigned)type)->name);
    if (ret)
        assert_lh_ok(lh_link_decode_body(&v->current->frame, ret));
    return v->current->frame.stream;
}

/* HELLO to WELCOME, with the TPM's keys. */
static inline void vault_challenge(fake_vault *v, lh_tpm *tpm, uint16_t kind, const lh_secret *secret)
{
    LH_AUTO(lh_buf_free) lh_buf ek = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf ak = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf id_object = LH_BUF_INIT(1024);
    LH_AUTO(lh_buf_free) lh_buf encrypted = LH_BUF_INIT(1024);
    uint8_t name[34];
    assert_lh_ok(lh_tpm_ek_public(tpm, kind, &ek));
    assert_lh_ok(lh_tpm_ak_public(tpm, &ak));
    assert_lh_ok(lh_credential_name(v->crypto, lh_buf_bytes(&ak), name));
    assert_lh_ok(lh_credential_make(
        v->crypto, lh_buf_bytes(&ek), LH_BYTES(name, sizeof(name)), secret, &id_object, &encrypted));
    const lh_link_activate activate = {lh_buf_bytes(&id_object), lh_buf_bytes(&encrypted)};
    vault_send(v, LH_LINK_ACTIVATE, 0, &activate);
}

static inline void vault_welcome(fake_vault *v, lh_tpm *tpm, uint16_t kind)
{
    lh_link_hello hello;
    vault_expect(v, LH_LINK_HELLO, &hello);
    assert_int_equal(hello.version, LH_LINK_VERSION);
    LH_AUTO(lh_secret_freep) lh_secret *secret = NULL;
    assert_lh_ok(lh_secret_random(32, &secret));
    vault_challenge(v, tpm, kind, secret);
    lh_link_activated activated;
    vault_expect(v, LH_LINK_ACTIVATED, &activated);
    const lh_bytes parts[] = {LH_BYTES_STR("leasehold-activate-v1"), LH_BYTES(v->exporter, 32)};
    uint8_t want[32];
    assert_lh_ok(lh_hmac_sha256(v->crypto, lh_secret_bytes(secret), parts, 2, want));
    assert_memory_equal(activated.answer, want, 32);
    const lh_link_welcome welcome = {.host = "web-1"};
    vault_send(v, LH_LINK_WELCOME, 0, &welcome);
    /* It has heard that once it answers. */
    const lh_link_quote quote = {.pcr_mask = 1, .ima_offset = LH_LINK_NO_IMA};
    vault_send(v, LH_LINK_QUOTE, UINT32_MAX, &quote);
    vault_expect(v, LH_LINK_NO_EVIDENCE, NULL);
}

#endif

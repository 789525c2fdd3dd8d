/* A daemon for the module's tests, in a process of its own: speaks the protocol, counts round trips in shared
 * memory, and misbehaves on demand. Its cryptography is a sum, its objects are fixed. */
#ifndef LH_TEST_FAKE_DAEMON_H
#define LH_TEST_FAKE_DAEMON_H

#include "p11/mechanism.h"
#include "wire/calls.h"

#include <leasehold/leasehold.h>
#include <leasehold/pkcs11-3.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* A literal as the writable bytes that PKCS#11 wants. */
#define TEXT(s) ((unsigned char[]){s})
#define FAKE_CLIENTS 64
#define FAKE_STREAMS 16
#define FAKE_CALLS 64

/* Handles of its objects. */
enum { FAKE_EC = 11, FAKE_EC_PUBLIC, FAKE_AES, FAKE_HMAC, FAKE_LEASE, FAKE_LEASE_PUBLIC, FAKE_ED };

/* Shared between the tests and the daemon. */
typedef struct {
    atomic_uint calls[FAKE_CALLS]; /* requests by call */
    atomic_uint total;
    atomic_uint hellos;
    atomic_uint leases;    /* issued by reading a public value */
    atomic_uint answers;   /* challenges answered rightly */
    atomic_int state;      /* enum lh_token_state */
    atomic_int challenge;  /* challenge before each reply */
    atomic_int die_at;     /* call at which it exits without a reply, or 0 */
    atomic_int hang_at;    /* call that it never answers */
    atomic_int garbage_at; /* call answered by bytes that are no message */
    atomic_int error;      /* lh_code to answer operations with, or 0 */
    char reason[32];
    atomic_int lease_ended; /* FAKE_LEASE and its public half are gone */
    atomic_int deny_digest; /* FAKE_EC does not permit ECDSA */
    atomic_int extra;       /* more objects, to need several pages */
    atomic_int version;     /* of the protocol; 0 is 1 */
    /* Standalone partitions: fake_partition.h. */
    atomic_int more_slots;    /* partitions 3 and on */
    atomic_int quorum;        /* C_InitPIN waits for one */
    atomic_int pending_state; /* what becomes of it */
    atomic_int no_resume;     /* tickets are refused */
    atomic_int further;       /* handles in the reply to derive, less one */
    uint8_t params[4096];     /* of the last operation or making */
    atomic_uint params_len;
    uint8_t aad[1024]; /* of the last wrapping */
    atomic_uint aad_len;
} fake_control;

typedef struct {
    int fd;
    int user[8]; /* CKU_ + 1 by slot: who is logged in */
    uint64_t next_operation;
    struct {
        uint64_t id;
        unsigned use;
        uint64_t mechanism;
        uint64_t sum;
        bool iv_due; /* the daemon makes it: it comes first */
    } streams[FAKE_STREAMS];
} fake_client;

typedef struct {
    char folder[64];
    char path[96];
    pid_t pid;
    fake_control *control;
} fake_daemon;

static void fake_pair(lh_buf *b, uint64_t handle, CK_ULONG class, CK_ULONG type, const char *label)
{
    bool private = class == CKO_PRIVATE_KEY;
    bool lease = handle == FAKE_LEASE || handle == FAKE_LEASE_PUBLIC;
    static const uint8_t id[] = "0123456789abcdef";
    lh_wire_put_ulong(b, CKA_CLASS, class);
    lh_wire_put_ulong(b, CKA_KEY_TYPE, type);
    const char *params = type == CKK_EC ? "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07" : "\x06\x03\x2b\x65\x70";
    lh_wire_put_attribute(b, CKA_EC_PARAMS, 0, LH_BYTES_STR(params));
    lh_wire_put_attribute(b, CKA_LABEL, 0, LH_BYTES_STR(label));
    lh_wire_put_attribute(b, CKA_ID, 0, LH_BYTES(id, 16));
    lh_wire_put_bool(b, CKA_TOKEN, true);
    lh_wire_put_bool(b, CKA_PRIVATE, private);
    lh_wire_put_bool(b, CKA_SIGN, private);
    lh_wire_put_bool(b, CKA_VERIFY, !private);
    lh_wire_put_attribute(b, CKA_START_DATE, 0, LH_BYTES_NONE);
    lh_wire_put_attribute(
        b, CKA_EC_POINT, lease ? LH_ATTRIBUTE_ASK : 0, lease ? LH_BYTES_NONE : LH_BYTES("\x04\x41", 2));
    if (private) {
        lh_wire_put_attribute(b, CKA_VALUE, LH_ATTRIBUTE_SENSITIVE, LH_BYTES_NONE);
        lh_wire_put_attribute(b, CKA_LEASEHOLD_EXPIRY, LH_ATTRIBUTE_ASK, LH_BYTES_NONE);
    }
}

#include "fake_partition.h"

/* Append the object's attributes; false where there is no such object. */
static bool fake_attributes(const fake_control *c, uint64_t handle, lh_buf *b)
{
    bool ended = c->lease_ended != 0;
    switch (handle) {
    case FAKE_EC: {
        fake_pair(b, handle, CKO_PRIVATE_KEY, CKK_EC, "invoice");
        uint8_t allowed[16] = {[6] = CKM_ECDSA_SHA256 >> 8,
            [7] = CKM_ECDSA_SHA256 & 255,
            [14] = CKM_ECDSA >> 8,
            [15] = CKM_ECDSA & 255};
        lh_wire_put_attribute(b, CKA_ALLOWED_MECHANISMS, 0, LH_BYTES(allowed, c->deny_digest ? 8 : 16));
        return true;
    }
    case FAKE_EC_PUBLIC: fake_pair(b, handle, CKO_PUBLIC_KEY, CKK_EC, "invoice"); return true;
    case FAKE_LEASE: fake_pair(b, handle, CKO_PRIVATE_KEY, CKK_EC, "fresh"); return !ended;
    case FAKE_LEASE_PUBLIC: fake_pair(b, handle, CKO_PUBLIC_KEY, CKK_EC, "fresh"); return !ended;
    case FAKE_ED: fake_pair(b, handle, CKO_PRIVATE_KEY, CKK_EC_EDWARDS, "ed"); return true;
    case FAKE_AES:
    case FAKE_HMAC: {
        bool aes = handle == FAKE_AES;
        lh_wire_put_ulong(b, CKA_CLASS, CKO_SECRET_KEY);
        lh_wire_put_ulong(b, CKA_KEY_TYPE, aes ? CKK_AES : CKK_GENERIC_SECRET);
        lh_wire_put_attribute(b, CKA_LABEL, 0, LH_BYTES_STR(aes ? "aes" : "mac"));
        lh_wire_put_bool(b, CKA_ENCRYPT, aes);
        lh_wire_put_bool(b, CKA_DECRYPT, aes);
        lh_wire_put_bool(b, CKA_SIGN, !aes);
        lh_wire_put_bool(b, CKA_VERIFY, !aes);
        return true;
    }
    default:
        if (handle < 1000 || handle >= 1000u + (unsigned)c->extra)
            return false;
        lh_wire_put_ulong(b, CKA_CLASS, CKO_DATA);
        return true;
    }
}

static lh_err fake_find(fake_control *c, const lh_find_request *request, lh_find_reply *reply, lh_buf *out)
{
    uint64_t first = request->cursor ? request->cursor : FAKE_EC;
    unsigned in_page = 0;
    reply->cursor = 0;
    for (uint64_t h = first; h < 1000u + (unsigned)c->extra; h = h == FAKE_ED ? 1000 : h + 1) {
        if (in_page++ == 100) {
            reply->cursor = h;
            break;
        }
        LH_AUTO(lh_buf_free) lh_buf a = LH_BUF_INIT(65536);
        if (fake_attributes(c, h, &a))
            lh_wire_put_object(out, h, lh_buf_bytes(&a));
    }
    reply->objects = lh_buf_bytes(out);
    return lh_buf_status(out);
}

static lh_err fake_get(fake_control *c, const lh_attributes_request *request, lh_buf *out)
{
    if (c->lease_ended && (request->handle == FAKE_LEASE || request->handle == FAKE_LEASE_PUBLIC))
        return LH_REFUSE(LH_E_GONE, "lease-ended", "the lease has ended");
    LH_AUTO(lh_buf_free) lh_buf all = LH_BUF_INIT(65536);
    if (!fake_attributes(c, request->handle, &all))
        return LH_FAIL(LH_E_NOT_FOUND, "no such object");
    if (request->types.len == 0)
        lh_buf_append(out, all.data, all.len);
    lh_reader r = lh_reader_new(request->types);
    while (r.left > 0) {
        uint32_t type = lh_read_u32(&r);
        if (type == CKA_EC_POINT) {
            c->leases++;
            lh_wire_put_attribute(out, type, 0, LH_BYTES("\x04\x02lease", 7));
        } else if (type == CKA_LEASEHOLD_EXPIRY) {
            lh_wire_put_attribute(out, type, 0, LH_BYTES_STR("2030-01-01T00:00:00Z"));
        } else {
            lh_wire_put_attribute(out, type, LH_ATTRIBUTE_NONE, LH_BYTES_NONE);
        }
    }
    return lh_buf_status(out);
}

static uint64_t fake_sum(uint64_t sum, lh_bytes data)
{
    for (size_t i = 0; i < data.len; i++)
        sum = sum * 31 + data.data[i];
    return sum;
}

static void fake_cipher(unsigned use, lh_bytes data, lh_buf *out)
{
    for (size_t i = 0; i < data.len; i++)
        lh_put_u8(out, data.data[i] ^ (use == LH_USE_ENCRYPT ? 0x5a : 0xa5));
}

static lh_err fake_end(unsigned use, const lh_mechanism *row, uint64_t sum, lh_bytes signature, lh_buf *out)
{
    if (use == LH_USE_VERIFY) {
        if (signature.len != lh_mechanism_output_len(row, LH_USE_SIGN, 256, 0))
            return LH_REFUSE(LH_E_INVALID, "signature-length", "length");
        return signature.data[0] == (uint8_t)sum ? LH_SUCCESS : LH_FAIL(LH_E_SIGNATURE, "wrong");
    }
    if (use == LH_USE_DECRYPT || use == LH_USE_VERIFY_RECOVER)
        return LH_SUCCESS;
    for (size_t i = 0; i < lh_mechanism_output_len(row, use, 256, 0); i++)
        lh_put_u8(out, (uint8_t)(sum + i));
    return LH_SUCCESS;
}

static lh_err fake_operate(fake_control *c, unsigned use, const lh_operate_request *q, lh_buf *out)
{
    const lh_mechanism *row = lh_mechanism_by_type(q->mechanism);
    if (c->error)
        return lh_err_raise((enum lh_code)c->error, 0, __FILE__, __LINE__, c->reason, "as told");
    fake_note(c, q->params);
    if (row->family == LH_FAMILY_AEAD && (q->handle & FAKE_STANDALONE))
        return fake_aead(use, row, q, out);
    if (c->lease_ended && q->handle == FAKE_LEASE)
        return LH_REFUSE(LH_E_GONE, "lease-ended", "the lease has ended");
    if (use == LH_USE_ENCRYPT || use == LH_USE_DECRYPT)
        fake_cipher(use, q->data, out);
    return fake_end(use, row, fake_sum(0, q->data), q->signature, out);
}

static lh_err fake_stream(
    fake_client *client, unsigned call, const lh_any_request *q, lh_buf *out, uint64_t *ret_id)
{
    if (call == LH_CALL_OP_BEGIN) {
        for (size_t i = 0; i < FAKE_STREAMS; i++) {
            if (client->streams[i].id != 0)
                continue;
            client->streams[i].id = *ret_id = ++client->next_operation;
            client->streams[i].use = q->op_begin.use;
            client->streams[i].mechanism = q->op_begin.mechanism;
            client->streams[i].sum = 0;
            client->streams[i].iv_due = fake_makes_iv(q->op_begin.mechanism, q->op_begin.params);
            return LH_SUCCESS;
        }
        return LH_FAIL(LH_E_LIMIT, "too many");
    }
    uint64_t id = q->op_update.operation;
    for (size_t i = 0; i < FAKE_STREAMS; i++) {
        if (client->streams[i].id != id)
            continue;
        unsigned use = client->streams[i].use;
        if (call == LH_CALL_OP_DIGEST_KEY) {
            client->streams[i].sum = client->streams[i].sum * 31 + (q->op_digest_key.handle & 0xff);
            return LH_SUCCESS;
        }
        if (call == LH_CALL_OP_UPDATE && client->streams[i].iv_due) {
            client->streams[i].iv_due = false;
            for (size_t j = 0; j < 12; j++)
                lh_put_u8(out, (uint8_t)(0xa0 + j));
        }
        if (call == LH_CALL_OP_UPDATE) {
            client->streams[i].sum = fake_sum(client->streams[i].sum, q->op_update.data);
            if (use == LH_USE_ENCRYPT || use == LH_USE_DECRYPT)
                fake_cipher(use, q->op_update.data, out);
            return LH_SUCCESS;
        }
        client->streams[i].id = 0;
        if (call == LH_CALL_OP_CANCEL)
            return LH_SUCCESS;
        return fake_end(use, lh_mechanism_by_type(client->streams[i].mechanism), client->streams[i].sum,
            q->op_finish.signature, out);
    }
    return call == LH_CALL_OP_CANCEL ? LH_SUCCESS : LH_REFUSE(LH_E_NOT_FOUND, "no-operation", "none");
}

/* Fill the reply's struct (any of them) for one request. */
static lh_err fake_handle(
    fake_control *c, fake_client *client, unsigned call, const lh_any_request *q, lh_buf *out, void *reply)
{
    if (call == LH_CALL_TOKEN_INFO) {
        lh_token_info_reply info = {.state = (uint8_t)c->state};
        memset(info.label, ' ', sizeof(info.label));
        memcpy(info.label, "fake vault", 10);
        memset(info.serial, '7', sizeof(info.serial));
        memcpy(reply, &info, sizeof(info));
        return LH_SUCCESS;
    }
    if (c->state != LH_TOKEN_OPEN)
        return LH_REFUSE(LH_E_STATE, "sealed", "the vault is sealed");
    uint64_t operation = 0;
    lh_find_reply found;
    if (call == LH_CALL_FIND) {
        LH_TRY(fake_find(c, &q->find, &found, out));
        memcpy(reply, &found, sizeof(found));
        return LH_SUCCESS;
    }
    if (call == LH_CALL_SIGN_RECOVER)
        LH_TRY(fake_operate(c, LH_USE_SIGN_RECOVER, &q->operate, out));
    else if (call == LH_CALL_VERIFY_RECOVER)
        lh_buf_append(out, q->operate.data.data, q->operate.data.len / 2);
    else if (call == LH_CALL_OP_DIGEST_KEY)
        return fake_stream(client, call, q, out, &operation);
    else if (call >= LH_CALL_SLOTS ||
             (call == LH_CALL_ATTRIBUTES && (q->attributes.handle & FAKE_STANDALONE)))
        return fake_partition(c, client, call, q, out, reply);
    else if (call == LH_CALL_ATTRIBUTES)
        LH_TRY(fake_get(c, &q->attributes, out));
    else if (lh_call_find(call)->use)
        LH_TRY(fake_operate(c, lh_call_find(call)->use, &q->operate, out));
    else if (call >= LH_CALL_OP_BEGIN && call <= LH_CALL_OP_CANCEL)
        LH_TRY(fake_stream(client, call, q, out, &operation));
    else if (call == LH_CALL_RANDOM)
        for (uint32_t i = 0; i < q->random.len; i++)
            lh_put_u8(out, (uint8_t)(i * 7 + 1));
    if (call == LH_CALL_OP_BEGIN)
        memcpy(reply, &operation, sizeof(operation));
    else
        memcpy(reply, &(lh_output_reply){lh_buf_bytes(out)}, sizeof(lh_output_reply));
    return LH_SUCCESS;
}

static void fake_challenge(fake_control *c, int fd, uint64_t id, lh_buf *message)
{
    lh_nonce_message nonce;
    memset(nonce.nonce, 0x42, sizeof(nonce.nonce));
    LH_IGNORE(lh_call_request(LH_CALL_CHALLENGE, id, &nonce, message));
    LH_IGNORE(lh_message_send(fd, lh_buf_bytes(message), -1, 0));
    lh_message_header h;
    lh_bytes body;
    lh_nonce_message answer;
    if (lh_ok(lh_message_recv(fd, 0, message, NULL)) &&
        lh_ok(lh_message_decode(lh_buf_bytes(message), &h, &body)) && h.call == LH_CALL_ANSWER &&
        h.id == id && lh_ok(lh_call_decode(&h, body, LH_KIND_TOKEN, 1, &answer)) &&
        memcmp(&answer, &nonce, sizeof(nonce)) == 0)
        c->answers++;
}

/* One message of a client; false at its end. */
static bool fake_serve(fake_control *c, fake_client *client)
{
    LH_AUTO(lh_buf_free) lh_buf in = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_AUTO(lh_buf_free) lh_buf out = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header h;
    lh_bytes body;
    lh_any_request request;
    union {
        lh_token_info_reply info;
        lh_find_reply find;
        lh_slot_info_reply slot_info;
        lh_search_reply search;
        lh_encapsulate_reply encapsulate;
        lh_generate_reply generate;
        uint64_t number;
    } reply;
    if (!lh_ok(lh_message_recv(client->fd, 0, &in, NULL)) ||
        !lh_ok(lh_message_decode(lh_buf_bytes(&in), &h, &body)))
        return false;
    c->total++;
    if (h.call < FAKE_CALLS)
        c->calls[h.call]++;
    if (c->die_at == h.call) {
        c->die_at = 0;
        _exit(0);
    }
    if (c->hang_at == h.call)
        return true;
    if (c->challenge)
        fake_challenge(c, client->fd, h.id, &message);
    lh_err err = lh_call_decode(&h, body, LH_KIND_TOKEN, c->version ? (uint16_t)c->version : 1, &request);
    if (lh_ok(err))
        err = fake_handle(c, client, h.call, &request, &out, &reply);
    if (lh_ok(err))
        LH_IGNORE(lh_call_reply((enum lh_call)h.call, h.id, &reply, &message));
    else
        LH_IGNORE(lh_call_error(h.call, h.id, err, lh_err_last(), &message));
    if (c->garbage_at == h.call)
        message.len = 7;
    return lh_ok(lh_message_send(client->fd, lh_buf_bytes(&message), -1, 0));
}

/* Hello on an accepted connection: returns the client's own socket. */
static int fake_hello(fake_control *c, int listener)
{
    int fd = accept(listener, NULL, NULL);
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header h;
    lh_bytes body;
    lh_hello_request hello;
    int pair[2] = {-1, -1};
    if (fd >= 0 && lh_ok(lh_message_recv(fd, 0, &message, NULL)) &&
        lh_ok(lh_message_decode(lh_buf_bytes(&message), &h, &body)) &&
        lh_ok(lh_shape_decode(lh_call_find(LH_CALL_HELLO)->request, body, &hello)) &&
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0) {
        lh_hello_reply reply = {.message_limit = LH_LIMIT_MESSAGE};
        lh_err err = lh_hello_choose(&hello, 1, c->version ? (uint16_t)c->version : 1, &reply.version);
        if (lh_ok(err))
            LH_IGNORE(lh_call_reply(LH_CALL_HELLO, h.id, &reply, &message));
        else
            LH_IGNORE(lh_call_error(h.call, h.id, err, lh_err_last(), &message));
        LH_IGNORE(lh_message_send(fd, lh_buf_bytes(&message), lh_ok(err) ? pair[1] : -1, 0));
        close(pair[1]);
        c->hellos++;
    }
    close(fd);
    return pair[0];
}

static void fake_run(fake_control *c, int listener)
{
    fake_client *clients = calloc(FAKE_CLIENTS, sizeof(*clients));
    struct pollfd p[FAKE_CLIENTS + 1] = {{.fd = listener, .events = POLLIN}};
    for (size_t i = 1; i <= FAKE_CLIENTS; i++)
        p[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    while (clients && poll(p, FAKE_CLIENTS + 1, -1) > 0) {
        for (size_t i = 1; i <= FAKE_CLIENTS; i++)
            if (p[i].fd >= 0 && p[i].revents && !fake_serve(c, &clients[i - 1])) {
                close(p[i].fd);
                fake_forget(&clients[i - 1], 0);
                p[i].fd = -1;
            }
        for (size_t i = 1; p[0].revents && i <= FAKE_CLIENTS; i++)
            if (p[i].fd < 0) {
                p[i].fd = fake_hello(c, listener);
                memset(&clients[i - 1], 0, sizeof(clients[i - 1]));
                clients[i - 1].fd = p[i].fd;
                break;
            }
    }
}

static void fake_start(fake_daemon *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    memcpy(a.sun_path, d->path, strlen(d->path) + 1);
    unlink(d->path);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 16) != 0) {
        perror("fake daemon");
        exit(1);
    }
    d->pid = fork();
    if (d->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        fake_run(d->control, listener);
        _exit(0);
    }
    close(listener);
}

static void fake_kill(fake_daemon *d)
{
    kill(d->pid, SIGKILL);
    waitpid(d->pid, NULL, 0);
}

/* A running daemon, and LEASEHOLD_SOCKET pointing to it. */
static void fake_open(fake_daemon *d)
{
    memset(d, 0, sizeof(*d));
    snprintf(d->folder, sizeof(d->folder), "/tmp/lh-fake-XXXXXX");
    if (!mkdtemp(d->folder))
        exit(1);
    snprintf(d->path, sizeof(d->path), "%s/vault.sock", d->folder);
    d->control = mmap(NULL, sizeof(*d->control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    setenv("LEASEHOLD_SOCKET", d->path, 1);
    fake_start(d);
}

static void fake_close(fake_daemon *d)
{
    fake_kill(d);
    unlink(d->path);
    rmdir(d->folder);
    munmap(d->control, sizeof(*d->control));
}

#endif

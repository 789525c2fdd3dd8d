/* Other hosts, as the vault knows them: what of them is connected, what their evidence said last, what runs
 * on them that has leases.
 *
 * A *link* is one channel to a host's agent: it is believed nothing until the agent has shown, by
 * ActivateCredential, that the TPM that was enrolled is behind it, on this very channel. One link of a host
 * is active at a time: the newest. A *stream* is one application's connection on a link.
 *
 * Invariants:
 *   1. A nonce is made for one host, one link, one stream; it is used once, and for LH_LIMIT_EVIDENCE_MS.
 *   2. Leases of a host are ended in lh_vault_lease_end, like all others; an end is never undone.
 *   3. A host whose last evidence was refused gets no lease until evidence of it is good again.
 *   4. Whatever a link sends is bounded: streams, waiting requests, logs, refusals on record.
 *
 * Threads: any, unless said otherwise. A link is freed by lh_host_link_closed, after which no call with it
 * may be made or be under way (the daemon lets calls of one link follow one another, or counts them). Source:
 * docs/attestation.md. */
#ifndef LH_VAULT_HOST_H
#define LH_VAULT_HOST_H

#include "base/limits.h"
#include "vault/vault.h"
#include "verify/evidence.h"

#include <jansson.h>

typedef struct lh_host_link lh_host_link;
typedef struct lh_host_stream lh_host_stream;

#define LH_HOST_SOURCE_SIZE 64
#define LH_HOST_STREAM_SELF 0u      /* the host as such, in QUOTE and EVIDENCE */
#define LH_HOST_IMA_NONE UINT64_MAX /* ima_offset: no IMA log is wanted */
#define LH_HOST_ACTIVATE_SIZE 32

typedef struct {
    uint32_t stream; /* LH_HOST_STREAM_SELF, or an open one */
    uint8_t nonce[32];
    uint32_t pcr_mask;
    bool want_event_log;
    uint64_t ima_offset; /* bytes of the IMA log that the vault has; LH_HOST_IMA_NONE */
} lh_quote_request;

/* Callbacks may come from any thread, with locks held: they only queue what is to be sent. None comes after
 * lh_host_link_closed has returned. */
typedef struct {
    uint8_t channel_key[32]; /* SHA-256 of the client's SubjectPublicKeyInfo, as TLS proved it */
    uint8_t exporter[32];
    char source[LH_HOST_SOURCE_SIZE]; /* network address as text; "" where there is none */
    void (*ask)(void *arg, const lh_quote_request *request);               /* send QUOTE */
    void (*send)(void *arg, uint32_t stream, uint8_t type, lh_bytes body); /* another frame; may be NULL */
    void (*end)(
        void *arg, const char *reason, const char *message); /* close the link; the reason may be sent */
    void *arg;
} lh_host_link_options;

/* A channel has come up. The two blobs are what ACTIVATE carries (appended).
 * Blocks on computing; no TPM, no disk.
 * Errors: LH_E_DENIED "host-unknown" (no enrolled host has that channel key);
 *         LH_E_STATE (sealed …); LH_E_LIMIT "host-links" (LH_LIMIT_HOST_LINKS, LH_LIMIT_HOST_LINKS_WAITING).
 */
LH_MUST lh_err lh_host_link_new(lh_vault *vault, const lh_host_link_options *options, lh_buf *ret_id_object,
    lh_buf *ret_encrypted_secret, lh_host_link **ret);
/* The answer: HMAC-SHA-256(secret, "leasehold-activate-v1" ‖ exporter). Taken once per link, right or wrong.
 * An older link of the host is ended ("host-replaced"). Entries of the log are written by the
 * keeper.
 * Errors: LH_E_ATTESTATION "activate-wrong", "activate-twice"; LH_E_DENIED "host-unknown" (retired
 * meanwhile); LH_E_STATE. */
LH_MUST lh_err lh_host_link_activate(lh_host_link *link, const uint8_t answer[LH_HOST_ACTIVATE_SIZE]);
/* The host's name. Valid as long as the link. */
const char *lh_host_link_name(const lh_host_link *link);

/* A part of a log. Errors: LH_E_STATE "link-not-active"; LH_E_ATTESTATION "log-gap", LH_E_LIMIT "log-size",
 * upon which the link is to be closed. Computes: not on a loop. */
LH_MUST lh_err lh_host_link_log(lh_host_link *link, enum lh_log_kind kind, uint64_t offset, lh_bytes chunk);
/* EVIDENCE has come. Whoever waits for that stream is answered; evidence that nobody has asked for is
 * dropped. Computes: not on a loop. */
void lh_host_link_evidence(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes evidence);
/* NO_EVIDENCE has come. reason and message are the host's: only their printable bytes are kept. */
void lh_host_link_no_evidence(
    lh_host_link *link, uint32_t stream, lh_err err, const char *reason, const char *message);

/* OPEN has come. Computes.
 * facts: lh_facts_encode's form. ephemeral: an uncompressed P-256 point. signature: r ‖ s over
 * "leasehold-open-v1" ‖ exporter ‖ u32 stream ‖ SHA-256(facts).
 * ret: one reference, which lh_host_stream_close or a peer (lh_peer_options.remote) takes.
 * Errors: LH_E_STATE "link-not-active"; LH_E_PROTOCOL "stream-number" (not above all that were used on this
 * link before); LH_E_LIMIT "host-streams"; LH_E_CORRUPT "facts-format"; LH_E_SIGNATURE "stream-signature",
 *         "stream-ephemeral". */
LH_MUST lh_err lh_host_stream_open(lh_host_link *link, uint32_t stream, lh_bytes facts, lh_bytes ephemeral,
    lh_bytes signature, lh_host_stream **ret);
/* The application's connection has ended, for this reason (a token of docs/protocol.md; another counts as
 * "peer-exit"): its leases end, those who wait for its evidence are refused. Does not give the reference
 * back. May be called more than once, and after its link is closed. */
void lh_host_stream_close(lh_host_stream *stream, const char *reason);
lh_host_stream *lh_host_stream_ref(lh_host_stream *stream);
/* Takes NULL. */
void lh_host_stream_unref(lh_host_stream *stream);
LH_DEFINE_FREEP(lh_host_stream, lh_host_stream_unref)
/* What a peer's options say of the process: pid and uid on its host. Valid as long as the stream. */
pid_t lh_host_stream_pid(const lh_host_stream *stream);
uid_t lh_host_stream_uid(const lh_host_stream *stream);
gid_t lh_host_stream_gid(const lh_host_stream *stream);
uint32_t lh_host_stream_number(const lh_host_stream *stream);

/* The channel is gone: nothing comes over it any more, and its streams are closed; their leases stay until
 * freshness has passed ("host-lost"), also where lh_host_stream_close is called for them after this. Never
 * waits. lh_host_link_closed is to follow. */
void lh_host_link_lost(lh_host_link *link);
/* The same, where it has not been called. Frees the link.
 * Takes NULL. */
void lh_host_link_closed(lh_host_link *link);
LH_DEFINE_FREEP(lh_host_link, lh_host_link_closed)

/* What host.show adds of a host while the vault is open: {"connected": bool, "since", "source", "evidence":
 * {"verdict", "at", "age", "clock", "reset_count", "restart_count", "firmware", "next"}, "drift": [{"kind",
 * "pcr", "digest", "text"}], "streams": [{"stream", "pid", "uid", "exe", "unit", "leases"}], "leases"}.
 * Absent where not known. ret: the caller's. LH_E_NOT_FOUND "host-unknown" (not enrolled), LH_E_NOMEM. */
LH_MUST lh_err lh_vault_host_live(lh_vault *vault, const char *name, json_t **ret);

#endif

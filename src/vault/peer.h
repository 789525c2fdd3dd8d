/* One client process as the vault sees it: who it is, which objects it has, which leases it holds.
 *
 * A worker asks lh_peer_acquire, which never waits. Where that says LH_STEP_PREPARE (or LH_STEP_RENEW), the
 * request is handed to a thread that may wait, lh_peer_prepare does what is missing (attest, issue, renew,
 * reserve uses), and the worker asks again. */
#ifndef LH_VAULT_PEER_H
#define LH_VAULT_PEER_H

#include "lease/lease.h"
#include "object/application.h"
#include "object/object.h"
#include "vault/host.h"
#include "vault/vault.h"
#include "wire/calls.h"

#include <sys/types.h>

typedef struct lh_peer lh_peer;
typedef struct lh_resident lh_resident; /* a peer's application in the standalone partitions, counted */

/* Send a nonce to the process and wait until the same process has answered it. Blocks.
 * LH_E_GONE, LH_E_TIMEOUT, LH_E_ATTESTATION (another process or another nonce answered). */
typedef lh_err (*lh_peer_challenge_fn)(void *arg, const uint8_t nonce[32]);

typedef struct {
    lh_host_stream *remote; /* taken over; a process of another host, of which pid, uid and gid are then.
                               NULL: a process of this one */
    pid_t pid;
    int pidfd; /* taken over; -1 with remote */
    uid_t uid;
    gid_t gid;
    uint8_t channel[32];            /* random, of this connection: what evidence is bound to */
    lh_peer_challenge_fn challenge; /* not used with remote */
    void *challenge_arg;            /* valid while calls of this peer are under way */
    /* The standalone keys that operations of this peer hold are to be let go of soon: the vault was sealed,
     * or the process is no longer what was attested. From any thread, with locks held: it only passes it on.
     * May be NULL. */
    void (*voided)(void *challenge_arg);
} lh_peer_options;

/* One reference. */
LH_MUST lh_err lh_peer_new(lh_vault *vault, const lh_peer_options *options, lh_peer **ret);
void lh_peer_unref(lh_peer *peer);
LH_DEFINE_FREEP(lh_peer, lh_peer_unref)

/* challenge_arg ends: nothing is asked of it any more. The peer itself may live on for a moment. */
void lh_peer_detach(lh_peer *peer);

/* What a request wants to do with an object. row NULL: no mechanism (reading an attribute that needs a
 * lease). */
typedef struct {
    uint64_t handle;
    const lh_mechanism *row;
    unsigned use; /* LH_USE_… bit */
} lh_peer_use;

enum lh_step {
    LH_STEP_READY,
    LH_STEP_PREPARE, /* lh_peer_prepare, then ask again */
    LH_STEP_RENEW,   /* lh_peer_renew, since the lease runs out soon; then ask again */
};

/* The right to use a key for one operation. Holds what the operation needs until released; an operation in
 * parts asks lh_grip_check before each further part. */
typedef struct {
    const lh_key *key;
    lh_lease *lease;       /* NULL where none is needed (verifying with a public key) */
    lh_object *object;     /* keeps the key of a public object */
    bool in_tpm;           /* not for us to use: lh_custody_give. No use has been taken of the lease */
    lh_key_grip held;      /* of a standalone key, */
    lh_key_tenure tenure;  /* under what it was given, */
    lh_resident *resident; /* and through whom */
} lh_grip;

void lh_grip_release(lh_grip *grip);
/* LH_E_GONE (reason "lease-ended") or LH_E_DENIED ("lease-expired"); of a standalone key LH_E_STATE (sealed),
 * LH_E_DENIED ("identity-changed", and what policy refuses it by) or lh_application_check's. Never waits,
 * takes no disk. From the thread that uses the peer, or while that waits. */
LH_MUST lh_err lh_grip_check(const lh_grip *grip);

/* Never waits. Where a standalone key takes LH_STEP_PREPARE, lh_peer_take (vault/standalone.h) gives it at
 * once. With LH_STEP_READY ret_grip is set and one use is taken. Errors: LH_E_GONE "lease-ended" (the handle
 * is dead for ever), LH_E_DENIED "lease-spent" (all uses taken; a new lease may be had when this one has run
 * out), LH_E_INVALID "key-type" or "key-use", LH_E_STATE (sealed …). */
LH_MUST lh_err lh_peer_acquire(
    lh_peer *peer, const lh_peer_use *use, enum lh_step *ret_step, lh_grip *ret_grip);
/* Blocks. LH_E_DENIED with policy's reason, LH_E_ATTESTATION, LH_E_GONE, LH_E_STATE, or what failed. */
LH_MUST lh_err lh_peer_prepare(lh_peer *peer, const lh_peer_use *use);

/* Renew a lease before it runs out. A refusal is on record and changes nothing: the lease runs its time.
 * Blocks. */
void lh_peer_renew(lh_peer *peer, const lh_peer_use *use);

/* One page of a search: objects that match the template, from cursor on; objects is filled as calls.h says.
 * Blocks (the first search reads who the process is). */
LH_MUST lh_err lh_peer_find(
    lh_peer *peer, const lh_find_request *request, lh_buf *ret_objects, uint64_t *ret_cursor);
/* The attributes asked for. Blocks, since some need a lease. */
LH_MUST lh_err lh_peer_attributes(
    lh_peer *peer, const lh_attributes_request *request, lh_buf *ret_attributes);

/* What the token says of itself. Never waits. */
void lh_vault_token_info(lh_vault *vault, lh_token_info_reply *ret);

#endif

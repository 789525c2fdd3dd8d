/* What the files about peers share: peer.c (a peer, and a worker's path), slots.c (what a peer has),
 * prepare.c (what is missing for a request), search.c (searching and reading).
 *
 * Invariants:
 *  1. A worker's path (lh_peer_acquire) takes the peer's lock only, which is never held while waiting.
 *  2. Objects and slots belong to one generation of the rules; when that moves on they are made anew before
 * they are used again.
 *  3. A per: lease key's id is its lease's id. An id whose lease has ended never comes back.
 */
#ifndef LH_VAULT_PEER_INTERNAL_H
#define LH_VAULT_PEER_INTERNAL_H

#include "vault/internal.h"

/* What the peer has of one role. */
typedef struct {
    char role[LH_LIMIT_NAME + 1];
    char workload[LH_LIMIT_SPIFFE_ID + 1];
    enum lh_lease_per per;
    bool in_tpm; /* the key is used in the TPM of the process's host: vault/custody.h */
    uint8_t key_id[LH_LEASE_ID_SIZE];
    lh_lease *lease;                                /* NULL until issued */
    lh_object *objects[2];                          /* private and public, or secret and NULL */
    lh_object *certificates[LH_LIMIT_CERTIFICATES]; /* attached to the key, its own first; NULL after them */
} lh_slot;

#define LH_SLOT_OBJECTS (2 + LH_LIMIT_CERTIFICATES)

struct lh_peer {
    atomic_int references;
    lh_peer *next, **at;   /* in the vault's list of peers; under its peers_mutex */
    lh_resident *resident; /* NULL until the first call to the standalone partitions */
    lh_vault *vault;
    lh_peer_options options;
    char source[LH_HOST_SOURCE_SIZE]; /* of a remote one's host */
    pthread_mutex_t mutex;
    lh_slot *slots;
    size_t slot_count;
    uint64_t generation;    /* of the rules that slots were made from; 0: none */
    uint64_t start_time;    /* 0 until identified */
    uint8_t facts_hash[32]; /* of the last reading */
};

/* False where the last reference has gone already. */
bool lh_peer_try_ref(lh_peer *peer);

lh_resident *lh_resident_ref(lh_resident *resident);
void lh_resident_unref(lh_resident *resident);
/* lh_peer_acquire for a standalone key. */
LH_MUST lh_err lh_standalone_acquire(
    lh_peer *peer, const lh_peer_use *use, enum lh_step *ret_step, lh_grip *ret_grip);
/* Whether a grip on a key of that partition may go on, by the rules in force now: the vault is open, the
 * process what was attested, and nothing refuses it the partition. Never waits. LH_E_STATE, LH_E_DENIED. */
LH_MUST lh_err lh_gate_check(lh_resident *resident, uint64_t number);
/* lh_grip_check for a standalone key. */
LH_MUST lh_err lh_standalone_check(const lh_grip *grip);

void lh_slots_free(lh_slot *slots, size_t count);
/* Make slots and objects anew from the rules in force and from who the process is now. Under core_lock
 * (read). */
LH_MUST lh_err lh_slots_refresh(lh_peer *peer);
/* One of LH_SLOT_OBJECTS, or NULL. */
lh_object *lh_slot_object(const lh_slot *slot, size_t index);
/* The slot and the object of a handle, keys only, or NULL. Under the peer's lock. */
lh_slot *lh_slots_find(lh_peer *peer, uint64_t handle, lh_object **ret_object);
/* The same for certificates, too: what can be read, not what can be used. */
lh_slot *lh_slots_find_any(lh_peer *peer, uint64_t handle, lh_object **ret_object);
/* The slot of a role, or NULL. */
const lh_slot *lh_slots_of_role(const lh_slot *slots, size_t count, const char *role);
/* The error for a handle that names nothing (any more): LH_E_GONE "lease-ended". */
LH_MUST lh_err lh_slots_gone(void);

#endif

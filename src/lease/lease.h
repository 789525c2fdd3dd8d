/* A lease: the right of one workload's process to use one role's key for a while.
 *
 * The terms are fixed when the lease is issued. What changes later (state, expiry, uses) is a few atomics, so
 * that a worker checks a request against its lease without a lock: lh_lease_use is that check, and the only
 * one. Everything that is written to the store is the vault's work (vault/issue.c).
 *
 * Threads: lh_lease_use, the getters and reference counting are safe from any thread; the setters are called
 * by the vault under its own lock.
 */
#ifndef LH_LEASE_LEASE_H
#define LH_LEASE_LEASE_H

#include "base/bytes.h"
#include "base/limits.h"
#include "crypto/key.h"
#include "p11/mechanism.h"

#define LH_LEASE_ID_SIZE 16
#define LH_LEASE_SOURCE_SIZE 64

enum lh_lease_per { LH_PER_WORKLOAD = 1, LH_PER_LEASE = 2 };

/* On disk: append only. */
enum lh_lease_state {
    LH_LEASE_LIVE = 1,
    LH_LEASE_EXPIRED = 2, /* ran out; a per: workload lease may be renewed until its maximum life */
    LH_LEASE_ENDED = 3,   /* for ever */
};

/* What a use may find. */
enum lh_lease_verdict {
    LH_LEASE_USABLE,        /* one use has been taken */
    LH_LEASE_NEEDS_RENEWAL, /* expired, but renewable */
    LH_LEASE_NEEDS_USES,    /* the durably reserved block of uses is spent: reserve another */
    LH_LEASE_SPENT,         /* every use that the role allows has been taken */
    LH_LEASE_OVER,          /* ended */
};

/* Fixed at issue. Strings are NUL-terminated. */
typedef struct {
    uint8_t id[LH_LEASE_ID_SIZE]; /* 128 random bits */
    char role[LH_LIMIT_NAME + 1];
    char workload[LH_LIMIT_SPIFFE_ID + 1];
    char host[LH_LIMIT_NAME + 1]; /* the enrolled host whose process it is; "": the vault's own */
    char parent[LH_LIMIT_NAME + 1];
    uint32_t parent_version;
    enum lh_lease_per per;
    enum lh_key_kind kind;
    char source[LH_LEASE_SOURCE_SIZE]; /* where that host was connected from; "" where not known */
    uint64_t stream;     /* of an enrolled host: the connection it was issued to, by a number that this daemon
                            never gives twice; 0: the vault's own host */
    int32_t pid;         /* the process it was issued to … */
    uint64_t start_time; /* … by its start time in clock ticks since boot */
    uint32_t uid;
    uint8_t boot_id[16];
    uint8_t facts_hash[32]; /* SHA-256 of the workload facts that the evidence covers */
    int64_t issued;         /* wall seconds */
    int64_t ttl;            /* seconds that one issue or renewal lasts */
    int64_t not_after;      /* wall seconds: no renewal goes past it */
    int64_t not_after_boot_ms;
    uint64_t uses; /* in all; 0: unlimited */
} lh_lease_terms;

/* By what the host of a lease is known: "self" (the vault's own) or "host" (an enrolled one). Static. */
const char *lh_lease_assurance(const lh_lease_terms *terms);

typedef struct lh_lease lh_lease;

/* key is taken over (NULL for a lease read back whose process has not come back yet). One reference. */
LH_MUST lh_err lh_lease_new(const lh_lease_terms *terms, lh_key *key_taken, lh_lease **ret);
lh_lease *lh_lease_ref(lh_lease *lease);
void lh_lease_unref(lh_lease *lease);
LH_DEFINE_FREEP(lh_lease, lh_lease_unref)

const lh_lease_terms *lh_lease_terms_of(const lh_lease *lease);
/* Borrowed; NULL where there is none yet. */
const lh_key *lh_lease_key(const lh_lease *lease);
void lh_lease_set_key(lh_lease *lease, lh_key *key_taken);

/* THE check of a request against its lease. now is CLOCK_BOOTTIME in milliseconds. Takes one use where the
 * answer is LH_LEASE_USABLE and count is true (the later parts of a multi-part operation do not count). */
enum lh_lease_verdict lh_lease_use(lh_lease *lease, int64_t now_boot_ms, bool count);

enum lh_lease_state lh_lease_state_of(const lh_lease *lease);
/* Why it expired or ended: a static token, "" while live. */
const char *lh_lease_reason(const lh_lease *lease);
int64_t lh_lease_expires_boot_ms(const lh_lease *lease);
/* Uses taken and uses that are durably reserved, both since issue. */
uint64_t lh_lease_used(const lh_lease *lease);
uint64_t lh_lease_reserved(const lh_lease *lease);
/* True once for each issue or renewal, when the last third of its time has begun and its maximum life allows
 * more; the caller that gets true renews. */
bool lh_lease_claim_renewal(lh_lease *lease, int64_t now_boot_ms);

/* Setters: the caller has written the change to the store first (ending is the exception: it takes effect at
 * once and is written after). */
void lh_lease_set_live(lh_lease *lease, int64_t expires_boot_ms);
void lh_lease_set_expired(lh_lease *lease);
/* reason: a static token. The first end wins; false where it had ended before. */
bool lh_lease_set_ended(lh_lease *lease, const char *reason);
void lh_lease_add_uses(lh_lease *lease, uint64_t block);
/* What was reserved before a restart counts as used. */
void lh_lease_restore_uses(lh_lease *lease, uint64_t reserved);

/* How many uses to reserve next: 0 where all are reserved. */
uint64_t lh_lease_next_block(const lh_lease *lease);

/* What a lease was issued or last renewed on. Spans borrow; empty where nothing is known. */
typedef struct {
    lh_bytes evidence; /* as src/verify/evidence.h encodes it */
    lh_bytes facts;    /* as src/identity/facts.h encodes them: what the evidence's leaf has the hash of */
} lh_lease_proof;

/* Record form of a lease (kind lease; docs/format.md). */
LH_MUST lh_err lh_lease_encode(const lh_lease *lease, const lh_lease_proof *proof, lh_buf *ret);
typedef struct {
    lh_lease_terms terms;
    enum lh_lease_state state;
    char reason[32];
    int64_t expires_boot_ms;
    uint64_t reserved;
    lh_lease_proof proof; /* borrowed from the record; no facts in format 1 */
} lh_lease_record;
/* Both formats. LH_E_CORRUPT otherwise; ret untouched on error. */
LH_MUST lh_err lh_lease_decode(lh_bytes record, lh_lease_record *ret);

#endif

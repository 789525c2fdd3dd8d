/* What the files about hosts share: host.c (links), host_stream.c (streams, requests for evidence and those
 * who wait for it), host_evidence.c (what comes back), host_keep.c (the keeper's part: freshness),
 * host_live.c (what is told of them, entries of the log).
 *
 * Locks: a host's appraising may be held while computing; within it hosts->mutex, which is short; within that
 * the vault's own. Nothing here waits for a disk: entries of the log are queued for the keeper. */
#ifndef LH_VAULT_HOST_INTERNAL_H
#define LH_VAULT_HOST_INTERNAL_H

#include "vault/custody_internal.h"
#include "vault/host.h"
#include "vault/host_counts.h"
#include "vault/internal.h"
#include "verify/host_verifier.h"

#define HOST_BUCKETS 256     /* a power of two */
#define HOST_NONCES 4096     /* nonces remembered, to say what is wrong with one that nobody waits for */
#define HOST_REASONS 128     /* different tokens that leases of hosts end with */
#define HOST_REASON_SIZE 32  /* as in a lease's record */
#define HOST_EVENTS 256      /* entries of the log that wait for the keeper */
#define HOST_DRIFT_LOGGED 24 /* entries of a drift in one entry of the log */
#define HOST_EVENT_MS 60000  /* one entry of a kind for each host in so long; the rest is counted */

typedef struct lh_host lh_host;

/* One nonce that a host is to answer. In its link's list until an answer or its time comes. */
typedef struct lh_host_request lh_host_request;
struct lh_host_request {
    lh_host_request *next;
    uint32_t stream;
    uint8_t nonce[32];
    int64_t asked_ms; /* of this nonce */
    int64_t deadline_ms;
    uint32_t mask;
    uint64_t ima_offset;
    unsigned tries;
    bool waited; /* somebody waits, and frees it; else who settles it does */
    bool done;
    pthread_cond_t answered;
    lh_err_detail detail; /* LH_OK: evidence and epoch are set */
    lh_buf evidence;
    uint64_t epoch;
};

struct lh_host_stream {
    atomic_int references;
    lh_hosts *hosts;
    lh_host *host;
    lh_host_link *link; /* NULL once closed; under hosts->mutex */
    lh_host_stream *next;
    uint32_t number;
    uint64_t instance; /* what leases know it by */
    atomic_bool closed;
    atomic_bool may_have_leases;
    lh_identity identity;
    uint8_t facts_hash[32];
    uint8_t ephemeral_hash[32];
    int64_t opened_ms;
};

struct lh_host_link {
    lh_host_link *next; /* of all; under hosts->mutex, like what follows */
    lh_host_link_options options;
    lh_hosts *hosts;
    lh_host *host; /* NULL until active */
    char name[LH_LIMIT_NAME + 1];
    uint64_t version; /* of the enrolment */
    lh_host_enrolment *enrolment;
    lh_secret *secret; /* until answered */
    bool answered;
    bool ended; /* options.end has been called */
    lh_host_stream *streams;
    size_t stream_count;
    uint32_t last_stream;
    lh_host_request *requests; /* oldest first */
    size_t request_count;
};

/* Repeated entries of the log. */
typedef struct {
    int64_t at_ms; /* of the last that was written; 0: none */
    uint64_t held; /* since then */
} lh_host_tally;

/* Everything that is known of a host by its name. Lives as long as the vault. */
struct lh_host {
    lh_host *next; /* in its bucket */
    char name[LH_LIMIT_NAME + 1];

    pthread_mutex_t appraising;
    lh_host_verifier *verifier;
    bool have_last;
    lh_evidence_result last;
    int64_t last_ms; /* boot time when that came */

    atomic_uint_fast64_t version; /* of the enrolment that the verifier is about; 0: none */
    atomic_uint_fast64_t epoch; /* rises when all its leases end; an answer from before it is worth nothing */
    atomic_uint_fast64_t ima_offset; /* what the verifier asks from, */
    atomic_bool wants_events;        /* … and whether it lacks the event log */
    size_t pending;                  /* bytes of its logs in hosts->pending; under appraising */
    atomic_bool reset_wanted;        /* the reference values have changed: logs begin anew */
    atomic_int_fast64_t reset_ms;    /* when the verifier was last reset */

    /* Under hosts->mutex. */
    lh_host_link *link;
    char source[LH_HOST_SOURCE_SIZE];
    int64_t since;            /* wall seconds: when the link came up, or was lost */
    int64_t good_ms, good_at; /* boot time of the last good evidence's nonce, wall time; 0: none */
    char verdict[64];         /* "" : never appraised; "good"; or a reason */
    char message[256];
    int64_t verdict_at;
    lh_evidence_result shown;
    lh_drift_entry *drift; /* LH_DRIFT_MAX of room, or NULL */
    size_t drift_count;
    uint8_t drift_logged[32]; /* hash of the last drift in the log */
    bool asked;               /* a request for stream 0 is under way */
    bool silent;              /* the last one was not answered … */
    bool unable;              /* … or answered by NO_EVIDENCE */
    int64_t next_ms;          /* when the next is due; 0: the rules have changed, at once */
    lh_host_counts counts;    /* of the last good evidence; version 0: none, */
    bool counts_unkept;       /* … which is not in its record yet */
    bool had_leases;          /* in the keeper's round before */
    size_t leases;            /* as the keeper last counted, */
    int64_t freshness;        /* and the smallest freshness among them, seconds */
    lh_host_custody custody;
    lh_host_tally connects, losses, replacements, refusals, drifts;
    char refused_reason[64]; /* of the last entry about a refusal */
    char stray[64];          /* what was wrong with the last evidence that nobody waited for; "": none came */
};

enum lh_nonce_state { NONCE_NONE, NONCE_ASKED, NONCE_USED, NONCE_EXPIRED };

typedef struct {
    uint8_t nonce[32];
    const lh_host *host;
    uint32_t stream;
    enum lh_nonce_state state;
} lh_host_nonce;

struct lh_hosts {
    lh_vault *vault;
    pthread_mutex_t mutex;
    lh_host *buckets[HOST_BUCKETS];
    lh_host_link *links;
    size_t link_count;
    uint64_t instance;
    atomic_size_t pending; /* bytes of logs that wait for their quotes, of all hosts */
    size_t pending_max;    /* LH_LIMIT_IMA_PENDING_ALL */
    lh_host_nonce *nonces; /* HOST_NONCES, a ring */
    size_t next_nonce;
    char *reasons[HOST_REASONS];
    struct {
        const char *name;
        json_t *fields;
    } events[HOST_EVENTS];
    size_t event_count;
    uint64_t events_lost;
    int64_t kept_ms;
    uint64_t generation; /* of the rules last seen */
    lh_custody_due *due; /* approvals: the keeper's alone */
    size_t due_count, due_room;
};

/* --- host.c --------------------------------------------------------------------------------------------- */

/* By name; NULL where nothing was ever heard of it. Under hosts->mutex. */
lh_host *lh_hosts_find(const lh_hosts *hosts, const char *name);
/* Close a link from our side: once. Under hosts->mutex. */
void lh_host_link_end(lh_host_link *link, const char *reason, const char *message);
/* A token that lives as long as the vault. Under hosts->mutex. */
const char *lh_hosts_reason(lh_hosts *hosts, const char *reason);

/* --- host_stream.c -------------------------------------------------------------------------------------- */

/* End the leases of a stream; of a whole host, upon which no answer of before gives any. Under hosts->mutex.
 */
void lh_host_stream_end_leases(lh_host_stream *stream, const char *reason);
void lh_host_end_leases(lh_hosts *hosts, lh_host *host, const char *reason);
/* Nothing comes over it any more. Its leases are left as they are. Under hosts->mutex. */
void lh_host_stream_cut(lh_host_stream *stream);
lh_host_stream *lh_host_link_stream(const lh_host_link *link, uint32_t number);

/* Put a request in the list and send it. reference: what it will be appraised against. Under hosts->mutex.
 * LH_E_LIMIT "evidence-busy". */
LH_MUST lh_err lh_host_ask(lh_host_link *link, lh_host_request *request, const lh_reference *reference);
LH_MUST lh_err lh_host_request_new(uint32_t stream, int64_t wait_ms, lh_host_request **ret);
void lh_host_request_free(lh_host_request *request);
/* Out of the list. Under hosts->mutex. */
void lh_host_request_take(lh_host_link *link, lh_host_request *request);
/* It has been taken out and has its detail. Under hosts->mutex. */
void lh_host_request_settle(lh_host_request *request);
/* The same with an error. */
void lh_host_request_fail(
    lh_host_request *request, enum lh_code code, const char *reason, const char *message);
void lh_host_fail_requests(lh_host_link *link, const char *reason, const char *message);
/* What became of a nonce: for the reason of a refusal. Under hosts->mutex. */
void lh_hosts_mark_nonce(lh_hosts *hosts, const uint8_t nonce[32], enum lh_nonce_state state);

/* --- host_evidence.c ------------------------------------------------------------------------------------ */

/* What it sent over a link that is gone is of no use. Does not wait. Under hosts->mutex. */
void lh_host_drop_logs(lh_hosts *hosts, lh_host *host);

/* --- host_live.c ---------------------------------------------------------------------------------------- */

/* Queue an entry of the log; fields_taken is consumed. Under hosts->mutex. */
void lh_hosts_event(lh_hosts *hosts, const char *name, json_t *fields_taken);
/* Whether one of a kind may be written now; it is counted where not. ret_held: how many were not since. */
bool lh_host_tally_due(lh_host_tally *tally, uint64_t *ret_held);
void lh_host_log_refusal(lh_hosts *hosts, lh_host *host, const char *reason, const char *message);
void lh_host_log_drift(lh_hosts *hosts, lh_host *host);
void lh_host_log_connected(lh_hosts *hosts, lh_host *host);
void lh_host_log_lost(lh_hosts *hosts, lh_host *host, const char *reason);
/* The keeper's: write what waits. Under core_lock (read). */
void lh_hosts_write_events(lh_hosts *hosts);
/* Printable ASCII alone, cut to size. */
void lh_host_printable(char *out, size_t size, const char *in);

#endif

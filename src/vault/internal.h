/* What the files of src/vault share. Nothing outside this folder includes it.
 *
 * Locks, in the order in which they may be taken together:
 *   core_lock    (read) while the core is used; (write) while it is opened or closed.
 *   governance   around every change of the configuration: one at a time.
 *   issue_locks  one of them around issuing to a process, so that it is issued to once.
 *   sweeping     around a sweep, so that each lease's end is written once.
 *   peers_mutex  the list of peers; a peer's own may be taken within.
 *   of hosts     host_internal.h: one that is appraising, then that of the registry.
 *   mutex        short: state, rules, chain pointer, lease table, refusals. Never held while waiting.
 */
#ifndef LH_VAULT_INTERNAL_H
#define LH_VAULT_INTERNAL_H

#include "attester/attester.h"
#include "crypto/ek.h"
#include "custody/package.h"
#include "lease/derivation.h"
#include "lease/table.h"
#include "log/log.h"
#include "policy/evaluate.h"
#include "quorum/chain.h"
#include "quorum/parent.h"
#include "quorum/proposal.h"
#include "seal/seal.h"
#include "vault/host.h"
#include "vault/partition.h"
#include "vault/peer.h"
#include "verify/evidence.h"
#include "verify/reference.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#define ISSUE_LOCKS 1024
#define REFUSALS 256 /* kept for explain */

/* What a decision needs of the configuration, as it stood at one moment. Immutable, counted. */
typedef struct {
    atomic_int references;
    uint64_t generation;
    lh_policy *policy;       /* NULL: none applied yet */
    lh_references *values;   /* NULL: none set yet */
    lh_policy_label *labels; /* of this host */
    size_t label_count;
    lh_policy_hold *holds; /* strings owned */
    size_t hold_count;
    lh_state_parent *parents;
    size_t parent_count;
    lh_policy_label **host_labels; /* of governed.hosts, by place; names and values are the enrolment's */
    uint64_t references_version;
    lh_state governed; /* standalone partitions and certificates of leased keys; nothing else of it is set */
} lh_rules;

/* What exists only while the root key is open. Counted: whoever works in the standalone partitions when the
 * vault is sealed keeps it a little longer, shut (lh_records_shut). */
typedef struct {
    atomic_int references;
    lh_records *records;
    lh_log *log;
    lh_genesis *genesis;
    lh_chain *chain; /* NULL while founding */
    lh_secret *anchor_auth;
    uint32_t anchor_index;
    lh_secret *log_seed;       /* Ed25519 */
    lh_secret *partition_root; /* what the standalone partitions' keys come from */
    lh_secret *net_key;        /* a P-256 scalar: this vault's end of channels to hosts */
    uint8_t net_hash[32];      /* SHA-256 of its SubjectPublicKeyInfo */
    lh_approver *approver;     /* what hosts' TPMs let leases' keys be used by */
    uint8_t log_public[32];
    uint8_t tpm_point[65]; /* the TPM's checkpoint key */
    lh_buf ak_public;
    char origin[64];
    atomic_int_fast64_t latest; /* wall seconds: the latest time that an entry of the log has */
} lh_core;

typedef struct {
    int64_t at;
    char host[LH_LIMIT_NAME + 1]; /* the enrolled host that pid and uid are of; "": the vault's own */
    pid_t pid;
    uid_t uid;
    char exe[256];
    char role[LH_LIMIT_NAME + 1];
    char reason[64];
    char rule[LH_POLICY_RULE_SIZE];
    char *text;        /* the explanation */
    uint64_t count;    /* times, while this window lasts */
    uint64_t unlogged; /* of those, not in the log yet */
    int64_t window_ms; /* boot time at which the window began */
} lh_refusal;

typedef struct lh_standalone lh_standalone;
typedef struct lh_filesets lh_filesets;

/* A process that holds leases: its end is the end of them. */
typedef struct lh_holder lh_holder;

typedef struct lh_hosts lh_hosts;           /* host.h */
typedef struct lh_self lh_self;             /* self_evidence.c */
typedef struct lh_self_watch lh_self_watch; /* host_self.c */

struct lh_vault {
    lh_vault_options options;
    char *state_dir;
    char *tcti;
    lh_vault_logs logs; /* of this host */
    lh_crypto *crypto;
    lh_ek_authorities *ek_authorities; /* NULL: none are configured */
    lh_store *store;
    lh_tpm *tpm;           /* NULL while it cannot be opened */
    lh_attester *attester; /* its quotes; there when the TPM is */
    lh_tpm_facts tpm_facts;

    pthread_rwlock_t core_lock;
    pthread_mutex_t governance;
    pthread_mutex_t issue_locks[ISSUE_LOCKS];
    pthread_mutex_t sweeping;
    pthread_mutex_t mutex;

    enum lh_vault_state state;
    char reason[64];
    char message[512];
    atomic_bool retry_open; /* sealed for want of a TPM: the keeper tries again */
    uint8_t id[32];
    bool have_id;
    atomic_bool ends_unwritten;         /* leases have ended, and the store does not take it */
    atomic_bool anchor_behind;          /* the anchor could not be written: nothing is issued until it is */
    lh_core *core;                      /* NULL while empty or sealed */
    lh_rules *rules;                    /* NULL unless open */
    atomic_uint_fast64_t generation;    /* of the rules: rises when they change */
    lh_partition_hooks partition_hooks; /* set before the vault opens, or never */
    lh_standalone *standalone;          /* NULL unless open */
    lh_peer *peers;                     /* all there are; under peers_mutex */
    pthread_mutex_t peers_mutex;        /* before a peer's own */
    lh_filesets *filesets;              /* of reference values: fileset.h */
    lh_hosts *hosts;
    lh_self *self;
    lh_self_watch *self_watch;
    atomic_uint_fast64_t self_epoch;  /* rises when leases of this host end for its evidence */
    atomic_bool self_doubted;         /* evidence was refused: the watch is to look at once */
    atomic_int_fast64_t self_good_ms; /* boot time of the nonce of this host's last good evidence */
    lh_lease_table *leases;
    lh_holder *holders;
    lh_refusal refusals[REFUSALS];
    size_t refusal_next;
    uint64_t anchored_log_size;
    uint64_t checkpoint_size; /* of the newest checkpoint */
    uint8_t boot_id[16];

    pthread_t keeper;
    pthread_cond_t keeper_wake;
    bool keeper_started;
    bool keeper_asked;
    bool stopping;
};

/* --- core.c: opening and closing what the root key opens ------------------------------------------------ */

/* Unseal and open everything; sets v->core, state, reason. Under core_lock (write). A refusal of the seal is
 * no error: the state says so. */
LH_MUST lh_err lh_vault_core_open(lh_vault *v);
void lh_vault_core_close(lh_vault *v);
lh_core *lh_core_ref(lh_core *core);
void lh_core_unref(lh_core *core);
/* Open the core of a vault that officers sealed, for one call of theirs; lh_vault_core_settle closes it again
 * unless that call unsealed it. Under core_lock (write). */
LH_MUST lh_err lh_vault_core_reopen_for_officers(lh_vault *v);
/* Bring the state in line with the configuration: sealed closes the core, unsealed serves. Under core_lock
 * (write). */
LH_MUST lh_err lh_vault_core_settle(lh_vault *v);
/* Rules, leases, log and anchor: serve. Under core_lock (write). */
LH_MUST lh_err lh_vault_core_enter_open(lh_vault *v);
/* Sealed, with the last error as its reason. */
void lh_vault_set_sealed(lh_vault *v, const char *reason, const char *message);
/* Make a vault: root key, seal, anchor, records, genesis. Under core_lock (write). */
LH_MUST lh_err lh_vault_core_create(lh_vault *v, const lh_roster *roster, uint32_t seal_pcrs);
/* The TPM, opened now if it was not. */
LH_MUST lh_err lh_vault_tpm(lh_vault *v, lh_tpm **ret);

/* --- anchor.c ------------------------------------------------------------------------------------------- */

LH_MUST lh_err lh_vault_anchor_write(lh_vault *v);
/* The store against the TPM: LH_E_ROLLBACK. */
LH_MUST lh_err lh_vault_anchor_check(lh_vault *v, lh_core *core);
/* That the anchor is the one we made, whoever wrote what it holds: it takes our authorization. It is written
 * what it holds already. */
LH_MUST lh_err lh_vault_anchor_prove(lh_vault *v);
/* Sign, store and anchor a checkpoint. ret_note may be NULL. */
LH_MUST lh_err lh_vault_checkpoint(lh_vault *v, lh_buf *ret_note);

/* --- rules.c -------------------------------------------------------------------------------------------- */

/* Rules from the chain's present state. */
LH_MUST lh_err lh_rules_new(const lh_chain *chain, lh_rules **ret);
void lh_rules_unref(lh_rules *rules);
LH_DEFINE_FREEP(lh_rules, lh_rules_unref)
/* The present ones, counted; NULL unless open. */
lh_rules *lh_vault_rules(lh_vault *v);
/* Why the rules do not allow a lease to go on (a static token), or NULL. */
const char *lh_rules_objection(const lh_rules *rules, const lh_lease *lease);
/* Put new rules in force and end the leases that they no longer allow. */
void lh_vault_rules_set(lh_vault *v, lh_rules *rules_taken);
const lh_state_parent *lh_rules_parent(const lh_rules *rules, const char *name);
/* The reference values that an enrolled host is appraised against under these rules; NULL where there are
 * none. */
const lh_reference *lh_rules_host_reference(const lh_rules *rules, const char *host);
/* Facts of a process under these rules; identity must outlive them. */
void lh_rules_facts(const lh_rules *rules, const lh_identity *identity, lh_policy_facts *ret);
/* The same of a process on an enrolled host. False where there is none of that name. */
bool lh_rules_host_facts(
    const lh_rules *rules, const char *host, const lh_identity *identity, lh_policy_facts *ret);

/* --- event.c: entries of the log ------------------------------------------------------------------------ */

/* {"at":…,"event":NAME, …fields}: fields_taken is consumed. Appends within the transaction. Where the clock
 * has been set back, "latest" says the latest time that an earlier entry has. */
LH_MUST lh_err lh_event_append(lh_core *core, lh_record_txn *txn, const char *name, json_t *fields_taken);
/* The same in a transaction of its own. */
LH_MUST lh_err lh_event_write(lh_core *core, const char *name, json_t *fields_taken);
/* Learn core->latest from the newest entry, once the log is open. */
LH_MUST lh_err lh_event_resume(lh_core *core);
json_t *lh_event_hex(const void *data, size_t len);
json_t *lh_event_time(int64_t wall);

/* --- leases.c ------------------------------------------------------------------------------------------- */

/* Read back the leases that were live, adopt the processes that still are. */
LH_MUST lh_err lh_vault_leases_load(lh_vault *v);
/* End one at once; the record and the log entry follow by the keeper. reason: a static token. Under mutex. */
void lh_vault_lease_end(lh_vault *v, lh_lease *lease, const char *reason);
/* End all. Under mutex. */
void lh_vault_leases_end_all(lh_vault *v, const char *reason);
/* Watch the process of a lease: pidfd is duplicated. Under mutex. */
LH_MUST lh_err lh_vault_hold_process(lh_vault *v, int32_t pid, uint64_t start_time, int pidfd);
/* The keeper's round: processes that have ended, leases that have run out, records of ended leases. What does
 * not fit one transaction comes in the next round. False where nothing is left to write, or it could not be
 * written. */
bool lh_vault_leases_sweep(lh_vault *v);
/* Within the transaction that seals the vault: no lease of before comes back when it is unsealed. */
LH_MUST lh_err lh_vault_leases_seal(lh_record_txn *txn);
/* Drop records of leases that ended long ago. */
LH_MUST lh_err lh_vault_leases_prune(lh_vault *v);
void lh_vault_holders_free(lh_vault *v);
/* Read every process that holds a lease again; end the leases of those that have changed (called exec,
 * changed user, cgroup or label, are traced …). Blocks on the attest process. */
void lh_vault_holders_recheck(lh_vault *v);
LH_MUST lh_err lh_lease_record_id(const uint8_t id[LH_LEASE_ID_SIZE], lh_record_id *ret);
/* Write a lease's present state with what it was issued on (proof NULL: keep what is there). */
LH_MUST lh_err lh_lease_write(lh_record_txn *txn, const lh_lease *lease, const lh_lease_proof *proof);

/* --- refusal.c ------------------------------------------------------------------------------------------ */

typedef struct {
    const lh_identity *identity; /* may be NULL */
    pid_t pid;
    uid_t uid;
    const char *role;
    const char *reason;
    const char *rule;
    const char *text;
    const char *host; /* NULL or "": the vault's own */
} lh_refusal_facts;

/* Remember a refusal for explain and charge it to the log (one entry a minute for each user, role and
 * reason). */
void lh_vault_refuse(lh_vault *v, const lh_refusal_facts *facts);
void lh_vault_refusals_flush(lh_vault *v, bool all);
void lh_vault_refusals_free(lh_vault *v);

/* --- host*.c: what else is in host.h -------------------------------------------------------------------- */

LH_MUST lh_err lh_hosts_new(lh_vault *v, lh_hosts **ret);
/* Links must be gone. Takes NULL. */
void lh_hosts_free(lh_hosts *hosts);
LH_DEFINE_FREEP(lh_hosts, lh_hosts_free)
/* The vault closes: every link is ended. */
void lh_hosts_shut(lh_hosts *hosts);
/* Rules are in force: links and leases of hosts that are enrolled no more, or otherwise, end; where the
 * reference values have changed, what hosts have measured is weighed anew. */
void lh_hosts_rules_changed(lh_hosts *hosts, const lh_rules *rules, bool references_changed);
/* The keeper's round: freshness, answers that did not come, entries of the log. Under core_lock (read). */
void lh_hosts_keep(lh_hosts *hosts);
/* A copy of a reason that lives as long as the vault: what leases end with. */
const char *lh_vault_reason(lh_vault *v, const char *reason);

/* Good evidence of a stream. */
typedef struct {
    lh_buf evidence;  /* encoded */
    int64_t nonce_ms; /* boot time of its nonce's issue */
    uint64_t epoch;   /* of the host: see lh_host_stream_ready */
} lh_host_answer;

/* Ask the stream's host for evidence and wait for it, at most LH_LIMIT_EVIDENCE_MS; it has been appraised
 * then. With no lock held. ret: its buffer is empty. Errors: LH_E_ATTESTATION with the verifier's reason, or
 * "identity-changed", "evidence-none", "nonce-…", "facts-…"; LH_E_TIMEOUT "evidence-timeout"; LH_E_GONE;
 * LH_E_LIMIT "evidence-busy"; LH_E_DENIED "no-reference". */
LH_MUST lh_err lh_host_stream_attest(lh_host_stream *stream, lh_host_answer *ret);
/* Whether the stream is open, and no evidence of its host was refused since the answer of that epoch. Takes
 * no lock; what ends leases makes it false before it looks for them under mutex. */
bool lh_host_stream_ready(const lh_host_stream *stream, uint64_t epoch);
/* Who the process was when the stream was opened. LH_E_GONE. */
LH_MUST lh_err lh_host_stream_identity(lh_host_stream *stream, lh_identity *ret);
/* What leases know the stream by: never 0. */
uint64_t lh_host_stream_instance(const lh_host_stream *stream);
const char *lh_host_stream_host(const lh_host_stream *stream);
void lh_host_stream_source(lh_host_stream *stream, char out[LH_HOST_SOURCE_SIZE]);

/* Who runs there by that pid, of those that are connected; where its host is connected from. LH_E_NOT_FOUND
 * "process-unknown". */
LH_MUST lh_err lh_vault_host_process(
    lh_vault *v, const char *host, pid_t pid, lh_identity *ret, char source[LH_HOST_SOURCE_SIZE]);

/* --- self_evidence.c: the vault's own host ---------------------------------------------------------------
 */

LH_MUST lh_err lh_self_new(lh_vault *v, lh_self **ret);
/* Takes NULL. */
void lh_self_free(lh_self *self);

typedef struct {
    const lh_evidence_leaf *leaf; /* what it must be */
    int64_t nonce_ms;             /* boot time of the nonce's issue */
    const lh_rules *rules;        /* that have reference values of this host */
} lh_self_expectation;
/* Whether this host can show what its reference values ask for: LH_E_ATTESTATION "self-no-event-log",
 * "self-no-ima-log" (the daemon has no such log), "reference-incomplete". */
LH_MUST lh_err lh_self_check(lh_vault *v, const lh_rules *rules);
/* Appraise a quote over lh_reference_quote_mask, and this host's logs with it, which are read here. Errors:
 * those of lh_self_check, lh_host_verifier_appraise and lh_attester_log; LH_E_ATTESTATION
 * "evidence-overtaken": a later quote has been accepted, and since this one something was measured: quote
 * again. */
LH_MUST lh_err lh_self_appraise(lh_vault *v, const lh_self_expectation *expectation,
    const lh_evidence *evidence, lh_evidence_result *ret);
/* Quote and appraise, again where it was overtaken. ret: initialised. Blocks on the TPM. Errors: as above,
 * and the attester's. */
LH_MUST lh_err lh_self_attest(lh_vault *v, const lh_self_expectation *expectation, lh_evidence *ret);

LH_MUST lh_err lh_self_watch_new(lh_vault *v, lh_self_watch **ret);
/* The attester must be gone. Takes NULL. */
void lh_self_watch_free(lh_self_watch *watch);
/* The keeper's round. Under core_lock (read). */
void lh_self_watch_keep(lh_self_watch *watch);

/* --- issue.c -------------------------------------------------------------------------------------------- */

/* One attestation of a process, across the time in which no lock is held: issuing comes as far as the nonce,
 * lets go of everything, and begins again when the process has answered. */
typedef struct {
    bool early;    /* renew although the lease is usable */
    bool wanted;   /* set by issuing: the process is to be challenged with nonce */
    bool answered; /* it has answered */
    uint8_t nonce[32];
    int64_t nonce_ms; /* boot time of the nonce's issue */
    char role[LH_LIMIT_NAME + 1];
    lh_identity identity;  /* the reading before the nonce */
    lh_host_answer answer; /* of a process of another host, instead of the nonce's */
} lh_attestation;

typedef struct {
    lh_peer *peer;
    const char *role;
    const uint8_t *lease_id; /* the id a new per: lease lease must get */
    lh_lease *lease;         /* to renew; NULL to issue */
    unsigned use;
    const lh_mechanism *row;
    lh_attestation *attestation;
} lh_issue_request;

/* Attest, decide, log, and issue or renew. Where the process has yet to be challenged: LH_E_STATE, and
 * attestation->wanted is set. ret_lease: one reference. Under core_lock (read). */
LH_MUST lh_err lh_vault_issue(lh_vault *v, const lh_issue_request *request, lh_lease **ret_lease);
LH_MUST lh_err lh_vault_reserve_uses(lh_vault *v, lh_lease *lease);
/* The key of a lease or of a per: workload role. One that cannot be derived is made now if there is none
 * (made_key.h): neither on a worker nor within a transaction. */
LH_MUST lh_err lh_vault_role_key(
    lh_vault *v, const lh_rules *rules, const lh_derivation *derivation, lh_key **ret);
void lh_vault_derivation(
    lh_vault *v, const lh_rules *rules, const lh_policy_role *role, const char *workload, lh_derivation *ret);

/* --- peer.c --------------------------------------------------------------------------------------------- */

const lh_peer_options *lh_peer_options_of(const lh_peer *peer);
LH_MUST lh_err lh_peer_facts_hash(lh_vault *v, const lh_identity *identity, uint8_t ret[32]);
/* Read who the process is, now. */
LH_MUST lh_err lh_peer_identify(lh_peer *peer, lh_identity *ret);
/* Facts of its process and host under these rules, for policy; identity and peer must outlive them. False
 * where its host is not enrolled (any more). */
bool lh_peer_policy_facts(
    const lh_peer *peer, const lh_rules *rules, const lh_identity *identity, lh_policy_facts *ret);
/* The number that its issue lock follows from. */
uint32_t lh_peer_lock_number(const lh_peer *peer);

/* --- standalone.c: see standalone_internal.h ------------------------------------------------------------ */

/* Open the standalone partitions of v->core. Under core_lock (write). */
LH_MUST lh_err lh_standalone_open(lh_vault *v);
/* Every application and what is under way in it is let go of. Under core_lock (write). */
/* From now on every call to the partitions is answered with LH_E_STATE; lh_standalone_close is to follow. */
void lh_standalone_end(lh_vault *v);
void lh_standalone_close(lh_vault *v);
/* The keeper's round: what could not be carried out yet; with read_again, the processes that are attested.
 * Under core_lock (read). Blocks. */
void lh_standalone_keep(lh_vault *v, bool read_again);

/* --- keeper.c ------------------------------------------------------------------------------------------- */

LH_MUST lh_err lh_vault_keeper_start(lh_vault *v);
void lh_vault_keeper_stop(lh_vault *v);
/* Make its next round come now. */
void lh_vault_keeper_wake(lh_vault *v);

/* Refuse unless open: LH_E_STATE with the state's reason and message. Under mutex or not. */
LH_MUST lh_err lh_vault_require_open(lh_vault *v);

/* --- net.c ------------------------------------------------------------------------------------------------
 */

/* Set core's net_key and net_hash. */
LH_MUST lh_err lh_core_net_key(lh_crypto *c, const lh_secret *root, lh_core *core);
/* Tell who watches. */
void lh_vault_changed(lh_vault *vault);
/* Under governance or core_lock (read): where the net process listens, and the key's hash while open. */
json_t *lh_vault_net_status(lh_vault *vault);

#endif

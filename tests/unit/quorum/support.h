/* A vault's governance for tests: officers with real OpenSSH keys, a store, a genesis that all have signed.
 */
#ifndef TESTS_UNIT_QUORUM_SUPPORT_H
#define TESTS_UNIT_QUORUM_SUPPORT_H

#include "../ssh_fixture.h"

#include "codec/sshsig.h"
#include "quorum/chain.h"
#include "quorum/config.h"
#include "quorum/parent.h"
#include "quorum/proposal.h"

#define NOW 1767225600 /* 2026-01-01T00:00:00Z */
#define SIGN "-n leasehold"

static lh_crypto *crypto;

#define assert_ok(expr)                                                                                      \
    do {                                                                                                     \
        lh_err ok_err = (expr);                                                                              \
        if (!lh_ok(ok_err))                                                                                  \
            fail_msg("%s: %s: %s", #expr, lh_err_last()->reason, lh_err_last()->message);                    \
    } while (0)
#define assert_refused(expr, want, token)                                                                    \
    do {                                                                                                     \
        lh_err refused_err = (expr);                                                                         \
        assert_int_equal(refused_err.code, (want));                                                          \
        assert_string_equal(lh_err_last()->reason, (token));                                                 \
    } while (0)

/* alice has two keys. mallory is no officer. Each program makes those keys that it names. */
static inline void make_keys(const char *const *names)
{
    static const char *const types[][2] = {{"alice", "ed25519"}, {"alice2", "ecdsa -b 256"},
        {"bob", "ecdsa -b 384"}, {"carol", "rsa -b 2048"}, {"dave", "ed25519"}, {"erin", "rsa -b 3072"},
        {"mallory", "ed25519"}, {"weak", "rsa -b 1024"}};
    for (; *names; names++)
        for (size_t i = 0; i < LH_ARRAY_LEN(types); i++)
            if (strcmp(*names, types[i][0]) == 0)
                ssh_make_key(types[i][0], types[i][1]);
}

static inline lh_buf key_blob(const char *key)
{
    lh_buf line = ssh_public(key), raw = LH_BUF_INIT(LH_LIMIT_PUBLIC_KEY);
    lh_pubkey_line parsed;
    assert_ok(lh_pubkey_line_parse(lh_buf_bytes(&line), &raw, &parsed));
    lh_buf_free(&line);
    return raw;
}

/* "alice", "alice=alice2", "bob": an officer and the name of a key, where they differ. Ends with NULL. */
static inline lh_err try_roster(const char *const *members, uint32_t threshold, lh_roster **ret)
{
    lh_buf keys[64];
    char names[64][32];
    lh_roster_entry entries[64] = {0};
    size_t n = 0;
    for (; members[n]; n++) {
        const char *equals = strchr(members[n], '=');
        snprintf(names[n], sizeof names[n], "%.*s", equals ? (int)(equals - members[n]) : 31, members[n]);
        keys[n] = key_blob(equals ? equals + 1 : members[n]);
        entries[n] = (lh_roster_entry){names[n], lh_buf_bytes(&keys[n])};
    }
    lh_err err = lh_roster_new(crypto, entries, n, threshold, ret);
    for (size_t i = 0; i < n; i++)
        lh_buf_free(&keys[i]);
    return err;
}

/* {"officers":[{"name":NAME,"keys":[LINE]}, …],"threshold":M} with one key each, into a buffer. */
static inline lh_buf officers_json(const char *const *names, uint32_t threshold)
{
    lh_buf out = LH_BUF_INIT(LH_LIMIT_DOCUMENT);
    lh_buf_append_str(&out, "{\"officers\": [");
    for (size_t i = 0; names[i]; i++) {
        lh_buf line = ssh_public(names[i]);
        line.len--;
        lh_buf_printf(
            &out, "%s\n  {\"name\": \"%s\", \"keys\": [\"%s\"]}", i ? "," : "", names[i], lh_buf_cstr(&line));
        lh_buf_free(&line);
    }
    lh_buf_printf(&out, "],\n \"threshold\": %u}\n", threshold);
    return out;
}

typedef struct {
    char dir[64];
    lh_store *store;
    lh_records *records;
    lh_chain *chain;
} vault;

static inline lh_err store_genesis(lh_record_txn *txn, void *arg)
{
    return lh_genesis_store(arg, txn);
}

static inline lh_genesis *new_genesis(const char *const *members, uint32_t threshold)
{
    lh_roster *roster = NULL;
    lh_genesis *genesis = NULL;
    assert_ok(try_roster(members, threshold, &roster));
    lh_genesis_request request = {
        .development = true, .created = NOW, .roster = roster, .software_tpm = true, .seal_pcrs = "sha256:7"};
    assert_ok(lh_genesis_new(crypto, &request, &genesis));
    lh_roster_free(roster);
    return genesis;
}

static inline lh_err sign_genesis(lh_genesis *genesis, const char *key)
{
    const lh_officer *officer = NULL;
    lh_buf armor = ssh_sign(key, SIGN, lh_genesis_bytes(genesis));
    lh_err err = lh_genesis_sign(genesis, crypto, lh_buf_bytes(&armor), NOW, &officer);
    lh_buf_free(&armor);
    return err;
}

static inline void open_store(vault *v)
{
    lh_secret *root = NULL;
    strcpy(v->dir, "/tmp/lh-quorum-XXXXXX");
    assert_non_null(mkdtemp(v->dir));
    assert_ok(lh_store_open(v->dir, NULL, &v->store));
    assert_ok(lh_secret_random(32, &root));
    assert_ok(lh_records_create(v->store, crypto, root, &v->records));
    lh_secret_free(root);
}

/* A vault of these officers, whose genesis all have signed with the key that bears their name. */
static inline void found_vault(vault *v, const char *const *members, uint32_t threshold)
{
    open_store(v);
    lh_genesis *genesis = new_genesis(members, threshold);
    for (size_t i = 0; members[i]; i++)
        if (!strchr(members[i], '='))
            assert_ok(sign_genesis(genesis, members[i]));
    assert_ok(lh_records_write(v->records, store_genesis, genesis));
    lh_genesis_free(genesis);
    assert_ok(lh_chain_replay(v->records, crypto, &v->chain));
}

static inline void close_vault(vault *v)
{
    char command[128];
    lh_chain_free(v->chain);
    lh_records_free(v->records);
    lh_store_free(v->store);
    snprintf(command, sizeof command, "rm -rf '%s'", v->dir);
    ssh_run(command);
}

typedef struct {
    vault *v;
    const lh_proposal_request *request;
    const lh_vote_request *vote;
    const lh_execution *execution;
    lh_proposal *proposal;
    lh_chain *next;
} job;

static inline lh_err create_in_txn(lh_record_txn *txn, void *arg)
{
    job *j = arg;
    return lh_proposal_create(j->v->chain, crypto, txn, j->request, &j->proposal);
}

static inline lh_err vote_in_txn(lh_record_txn *txn, void *arg)
{
    job *j = arg;
    return lh_proposal_vote(j->v->chain, crypto, txn, j->vote, &j->proposal);
}

static inline lh_err execute_in_txn(lh_record_txn *txn, void *arg)
{
    job *j = arg;
    return lh_chain_execute(j->v->chain, crypto, txn, j->execution, &j->next);
}

static inline lh_err try_propose(vault *v, const lh_proposal_request *request, lh_proposal **ret)
{
    job j = {.v = v, .request = request};
    LH_TRY(lh_records_write(v->records, create_in_txn, &j));
    *ret = j.proposal;
    return LH_SUCCESS;
}

static inline lh_proposal *propose(vault *v, const char *operation, const char *parameters)
{
    lh_proposal *proposal = NULL;
    lh_proposal_request request = {.operation = operation,
        .parameters = LH_BYTES_STR(parameters),
        .requester = "alice",
        .reason = "a test",
        .now = NOW};
    assert_ok(try_propose(v, &request, &proposal));
    if (!proposal)
        abort(); /* for the compiler: it was asserted */
    return proposal;
}

/* The text of a proposal, signed by key, as an armor that the caller frees. */
static inline lh_buf sign_proposal(
    const vault *v, const lh_proposal *proposal, enum lh_verb verb, const char *key, const char *options)
{
    lh_buf text = LH_BUF_INIT(LH_LIMIT_APPROVAL_TEXT);
    assert_ok(lh_proposal_text(proposal, crypto, lh_chain_vault(v->chain), verb, &text));
    lh_buf armor = ssh_sign(key, options, lh_buf_bytes(&text));
    lh_buf_free(&text);
    return armor;
}

static inline lh_err hand_in(
    vault *v, const lh_proposal *proposal, enum lh_verb verb, lh_bytes armor, int64_t now)
{
    lh_vote_request request = {.verb = verb, .armor = armor, .now = now};
    memcpy(request.proposal, proposal->id, sizeof request.proposal);
    job j = {.v = v, .vote = &request};
    lh_err err = lh_records_write(v->records, vote_in_txn, &j);
    lh_proposal_free(j.proposal);
    return err;
}

static inline lh_err vote_at(
    vault *v, const lh_proposal *proposal, enum lh_verb verb, const char *key, int64_t now)
{
    lh_buf armor = sign_proposal(v, proposal, verb, key, SIGN);
    lh_err err = hand_in(v, proposal, verb, lh_buf_bytes(&armor), now);
    lh_buf_free(&armor);
    return err;
}

static inline lh_err approve(vault *v, const lh_proposal *proposal, const char *key)
{
    return vote_at(v, proposal, LH_VERB_APPROVE, key, NOW + 1);
}

static inline lh_err execute_with(
    vault *v, const lh_proposal *proposal, int64_t now, lh_effect_fn effect, void *arg)
{
    lh_execution execution = {.now = now, .effect = effect, .arg = arg};
    memcpy(execution.proposal, proposal->id, sizeof execution.proposal);
    job j = {.v = v, .execution = &execution};
    lh_err err = lh_records_write(v->records, execute_in_txn, &j);
    if (!lh_ok(err)) {
        lh_chain_free(j.next);
        return err;
    }
    lh_chain_free(v->chain);
    v->chain = j.next;
    return LH_SUCCESS;
}

static inline lh_err execute(vault *v, const lh_proposal *proposal)
{
    return execute_with(v, proposal, NOW + 2, NULL, NULL);
}

/* Propose, have it approved by these keys, execute. */
static inline void enact(vault *v, const char *operation, const char *parameters, const char *const *keys)
{
    lh_proposal *proposal = propose(v, operation, parameters);
    for (; *keys; keys++)
        assert_ok(approve(v, proposal, *keys));
    assert_ok(execute(v, proposal));
    lh_proposal_free(proposal);
}

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif

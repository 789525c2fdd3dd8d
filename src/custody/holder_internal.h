/* What the files of the holder share: holder.c (its thread, and what it is shown), holder_work.c (what it
 * does on that thread). */
#ifndef LH_CUSTODY_HOLDER_INTERNAL_H
#define LH_CUSTODY_HOLDER_INTERNAL_H

#include "custody/holder.h"
#include "custody/operation.h"
#include "wire/link.h"

#include <pthread.h>

#define LH_HOLDER_OPERATIONS 64u /* operations in parts of one stream */
#define LH_HOLDER_MECHANISMS 128u

enum lh_holder_work { LH_HOLDER_REQUEST, LH_HOLDER_FRAME, LH_HOLDER_STREAM_END, LH_HOLDER_LINK_END };

typedef struct lh_holder_job lh_holder_job;
struct lh_holder_job {
    lh_holder_job *next;
    enum lh_holder_work work;
    uint32_t stream;
    uint8_t type; /* of a frame */
    lh_buf bytes; /* the message, or the frame's body */
};

/* One lease's key. */
typedef struct lh_holder_key lh_holder_key;
struct lh_holder_key {
    lh_holder_key *next;
    uint64_t handle;
    uint8_t lease[LH_LEASE_KEY_REF];
    enum lh_key_kind kind;
    lh_tpm_key *key;
    lh_buf public_area; /* tells whether another one has come */
    uint64_t mechanisms[LH_HOLDER_MECHANISMS];
    size_t mechanism_count;
    bool dropped; /* of no use any more: the next request goes to the vault */
    bool counted;
    bool pin_written;
    bool pin_asked;
    lh_buf waits; /* the request that waits for more uses; empty: none */
};

/* An operation in parts. */
typedef struct lh_holder_op lh_holder_op;
struct lh_holder_op {
    lh_holder_op *next;
    uint64_t number;
    uint64_t handle;
    lh_custody_op *op;
};

/* One stream of the link. asked, keys and what is in their handle and dropped: under the mutex; else the
 * holder's thread's. */
typedef struct lh_holder_stream lh_holder_stream;
struct lh_holder_stream {
    lh_holder_stream *next;
    uint32_t number;
    lh_buf asked; /* the request that was relayed, and may be given a key for */
    lh_holder_key *keys;
    lh_holder_op *operations;
    size_t operation_count;
};

struct lh_holder {
    lh_holder_options options;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    lh_holder_job *first, **last;
    size_t waiting;
    bool stopping;
    lh_holder_stream *streams;
    uint64_t next_operation;
};

/* holder.c. Under the mutex, or on the holder's thread. */
lh_holder_stream *lh_holder_find_stream(lh_holder *holder, uint32_t number);
/* One that may be used. */
lh_holder_key *lh_holder_find_key(const lh_holder_stream *stream, uint64_t handle);

/* holder_work.c: on the holder's thread. */
void lh_holder_key_free(lh_holder_key *key);
/* The next request for its handle goes to the vault. */
void lh_holder_drop(lh_holder *holder, lh_holder_key *key);
/* Take a key out of its stream's list and free it; the same for all that are dropped. */
void lh_holder_discard(lh_holder *holder, lh_holder_stream *stream, lh_holder_key *key);
void lh_holder_discard_dropped(lh_holder *holder, lh_holder_stream *stream);
/* Carry a request out. given: the vault has given the key for it. */
void lh_holder_serve(lh_holder *holder, lh_holder_stream *stream, lh_bytes message, bool given);
/* Answer it with an error, upon which an operation in parts has ended. */
void lh_holder_fail(
    lh_holder *holder, lh_holder_stream *stream, lh_bytes message, lh_err err, const lh_err_detail *detail);
void lh_holder_carry_out(lh_holder *holder, lh_holder_job *job);
/* When the thread has ended. */
void lh_holder_drop_streams(lh_holder *holder);

/* holder_frame.c: on the holder's thread. */
LH_MUST lh_err lh_holder_take_frame(lh_holder *holder, const lh_holder_job *job);

#endif

/* What connection.c (the socket) and dispatch.c (the requests) share. */
#ifndef LH_DAEMON_CONNECTION_INTERNAL_H
#define LH_DAEMON_CONNECTION_INTERNAL_H

#include "crypto/operation.h"
#include "daemon/connection.h"
#include "vault/admin.h"
#include "vault/standalone.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

/* An operation in parts. */
typedef struct operation {
    struct operation *next;
    uint64_t id;
    lh_op *op;
    lh_grip grip;
    const lh_mechanism *row;
    unsigned use;
} operation;

enum lh_challenge_state {
    CHALLENGE_NONE,
    CHALLENGE_SENT,
    CHALLENGE_ANSWERED,
    CHALLENGE_WRONG,
    CHALLENGE_GONE,
};

/* The request under way. Its spans borrow from message. */
typedef struct {
    bool busy; /* handed to the pool; only an answer to a challenge is read meanwhile */
    unsigned attempts;
    lh_buf message;
    lh_message_header header;
    lh_any_request body;
    lh_peer_use use; /* what is to be prepared */
    /* What the pool made of it. */
    lh_err result;
    lh_err_detail detail;
    lh_buf reply;
    uint64_t cursor;
    lh_grip grip;                /* of a standalone key: it has been given, and counted, already */
    struct operation *operation; /* whose slow end is carried out */
    union {
        lh_slots_reply slots;
        lh_slot_info_reply slot_info;
        lh_mechanisms_reply mechanisms;
        lh_init_pin_reply init_pin;
        lh_login_reply login;
        lh_resume_reply resume;
        lh_search_reply search;
        lh_handle_reply handle;
        lh_attributes_reply attributes;
        lh_object_size_reply object_size;
        lh_generate_reply generate;
        lh_wrap_reply wrap;
        lh_derive_reply derive;
        lh_encapsulate_reply encapsulate;
        lh_pending_reply pending;
    } value; /* spans borrow from reply */
} request;

struct lh_connection {
    atomic_int references;
    lh_server *server;
    lh_loop *loop;
    lh_connection_options options;
    lh_connection_closed_fn closed;
    void *closed_arg;
    lh_peer *peer; /* of kind token */
    struct event *readable;
    struct event *exited;
    bool open;
    atomic_bool gone;   /* no longer open: what a slow job makes is thrown away */
    atomic_bool voided; /* standalone keys are to be let go of */
    lh_buf incoming;
    lh_buf outgoing;
    request request;
    operation *operations;
    size_t operation_count;
    uint64_t next_operation;

    pthread_mutex_t mutex; /* of the challenge */
    pthread_cond_t answered;
    enum lh_challenge_state challenge;
    uint8_t nonce[32];
    uint64_t challenge_request; /* header id of the request that waits */
};

lh_connection *lh_connection_ref(lh_connection *connection);
/* On the loop. */
void lh_connection_shut(lh_connection *connection);
/* Send outgoing. On the loop. */
void lh_connection_flush(lh_connection *connection);

/* dispatch.c: carry out connection->request, or hand it to the pool. On the loop. */
void lh_dispatch(lh_connection *connection);
void lh_dispatch_free_operations(lh_connection *connection);
/* Drop operations whose standalone key may not be used any more. On the loop, while nothing is under way. */
void lh_dispatch_drop_voided(lh_connection *connection);

/* --- dispatch.c, for dispatch_partition.c ----------------------------------------------------------------
 */

/* Answer the request: once, and last. On the loop. */
void lh_dispatch_reply(lh_connection *connection, const void *value);
void lh_dispatch_error(lh_connection *connection, lh_err err, const lh_err_detail *detail);

typedef void (*lh_dispatch_fn)(lh_connection *connection);
/* Have work carried out on a thread that may wait (it sets request.result), then done on the loop where the
 * connection is open still. */
void lh_dispatch_suspend(
    lh_connection *connection, enum lh_work kind, lh_dispatch_fn work, lh_dispatch_fn done);

/* --- dispatch_partition.c: the calls of version 2 ---------------------------------------------------------
 */

/* False where the request is none of them. */
bool lh_dispatch_partition(lh_connection *connection);

#endif

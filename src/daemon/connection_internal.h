/* What connection.c (the socket) and dispatch.c (the requests) share. */
#ifndef LH_DAEMON_CONNECTION_INTERNAL_H
#define LH_DAEMON_CONNECTION_INTERNAL_H

#include "crypto/operation.h"
#include "daemon/connection.h"
#include "vault/admin.h"
#include "vault/peer.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

/* An operation in parts. */
typedef struct operation {
    struct operation *next;
    uint64_t id;
    lh_op *op;
    lh_grip grip;
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

#endif

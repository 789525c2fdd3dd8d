/* What the agent's files share. Everything in these structs belongs to the agent's loop, and to one thread
 * so; jobs for other threads carry copies. */
#ifndef LH_AGENT_INTERNAL_H
#define LH_AGENT_INTERNAL_H

#include "agent/agent.h"
#include "agent/uplink.h"
#include "crypto/key.h"
#include "custody/holder.h"
#include "serve/greeter.h"
#include "serve/users.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

#define LH_AGENT_BUCKETS 1024u
#define LH_AGENT_USER_STREAMS (LH_LIMIT_HOST_STREAMS / 2) /* of one uid (root excepted) */
#define LH_AGENT_QUOTES 8u                                /* QUOTEs of one stream that are not answered yet */
#define LH_AGENT_CHALLENGE_MS 5000

typedef struct lh_application lh_application;
typedef struct lh_quote lh_quote;
typedef struct lh_opening lh_opening;

enum lh_agent_work { LH_AGENT_READ, LH_AGENT_WORKS };

struct lh_agent {
    lh_agent_options options;
    lh_loop *loop;
    lh_users *users; /* work: reading applications' processes */
    lh_pool *host;   /* the host's own: activating, reading all processes, reading logs */
    lh_greeter *greeter;
    lh_uplink *uplink;
    lh_holder *holder;
    uint32_t last_stream; /* the number of the OPEN that was sent last */
    size_t streams;       /* that are open, or opening */
    lh_application *applications;
    lh_application *buckets[LH_AGENT_BUCKETS]; /* those with a stream, by number */
    /* QUOTEs of which the evidence is there, in the order in which they are answered. */
    lh_quote *sending;
    lh_quote **sending_end;
    bool reading_log;   /* of the first of sending */
    size_t host_quotes; /* for the host as such, not answered yet */
    atomic_int jobs;    /* handed to other threads, whose end comes to the loop */
    pthread_mutex_t mutex;
    pthread_cond_t stopped;
    bool is_stopped;
};

/* --- applications (application.c) -------------------------------------------------------------------------
 */

enum lh_application_state {
    LH_APPLICATION_FRESH,   /* no stream yet: it is opened for the first request */
    LH_APPLICATION_OPENING, /* its process is being read, or OPEN waits for room */
    LH_APPLICATION_OPEN,    /* OPEN is sent */
};

/* One application's connection. */
struct lh_application {
    lh_application *next;
    lh_application *previous;
    lh_application *bucket; /* the next of its bucket */
    lh_agent *agent;
    unsigned references; /* one is the list's, until it is closed */
    lh_greeted who;
    bool closed;
    struct event *readable;
    struct event *exited;
    enum lh_application_state state;
    bool counted;        /* as one of the host's streams: not while FRESH */
    uint32_t stream;     /* on this link; 0 unless OPEN */
    lh_opening *opening; /* what opens it; NULL: nothing does, or its end counts no more */
    lh_buf first;        /* while OPENING: the request that it is opened for */
    lh_buf incoming;
    /* The request under way. */
    bool waiting;
    lh_message_header asked;
    lh_buf unsent; /* whole frames that the channel has had no room for, in order */
    /* What was true when the stream was opened. */
    lh_identity identity;
    uint8_t ephemeral[32]; /* SHA-256 of the connection's ephemeral public key */
    /* QUOTEs, the first of which is at work. */
    lh_quote *quotes;
    size_t n_quotes;
    bool challenged;
    uint8_t nonce[LH_WIRE_NONCE];
    struct event *patience; /* for the answer to the challenge */
};

/* A client has said hello: takes over its descriptors and charge, on error too. */
LH_MUST lh_err lh_application_new(lh_agent *agent, const lh_greeted *client);
/* Close it, for that reason, of which the vault is told; once. NULL: the vault knows. */
void lh_application_close(lh_application *application, const char *reason);
lh_application *lh_application_ref(lh_application *application);
void lh_application_unref(lh_application *application);
/* The open one with that stream; NULL. */
lh_application *lh_application_find(lh_agent *agent, uint32_t stream);
/* It has that stream: OPEN is sent, and its first request follows. */
void lh_application_opened(lh_application *application, uint32_t stream);
/* Answer its request with an error, if one is under way. False where that closed it. */
bool lh_application_fail(lh_application *application, lh_err err, const lh_err_detail *detail);
/* There is no stream after all: the same, and the next request tries again. */
void lh_application_refuse(lh_application *application, lh_err err, const lh_err_detail *detail);
/* Give it a message. False where that closed it. */
bool lh_application_send(lh_application *application, lh_bytes message);
/* Frames for the vault: at once or when there is room. */
void lh_application_relay(lh_application *application, lh_bytes message);
/* There is room. False: there is none again. */
bool lh_application_flush(lh_application *application);
/* DATA and CLOSE of the vault. */
LH_MUST lh_err lh_application_data(lh_agent *agent, const lh_link_frame *frame);
LH_MUST lh_err lh_application_end(lh_agent *agent, const lh_link_frame *frame);
/* Its link is gone. */
void lh_application_lost(lh_application *application);

/* --- streams (stream.c): opening one ----------------------------------------------------------------------
 */

/* Read the process, and open a stream for it. The end, good or bad, comes to the application, unless it was
 * cancelled. */
LH_MUST lh_err lh_stream_begin(lh_application *application);
/* There is room: send the OPEN that waits for it, if one does. False: there is none again. */
bool lh_stream_send(lh_application *application);
void lh_stream_cancel(lh_application *application);

/* SHA-256 of encoded facts. */
LH_MUST lh_err lh_agent_facts_hash(
    lh_crypto *c, const lh_identity *identity, lh_buf *ret_facts, uint8_t ret[32]);

/* --- evidence (evidence.c, evidence_send.c) ---------------------------------------------------------------
 */

/* QUOTE of the vault. */
LH_MUST lh_err lh_evidence_ask(lh_agent *agent, const lh_link_frame *frame);
/* The answer to a challenge has come from the application. */
void lh_evidence_answered(lh_application *application, const uint8_t nonce[LH_WIRE_NONCE]);
/* The application has closed: its QUOTEs are dropped. */
void lh_evidence_drop(lh_application *application);
/* The link is gone: all that waits to be sent is dropped. */
void lh_evidence_lost(lh_agent *agent);
/* Send what is due, as far as there is room. */
void lh_evidence_pump(lh_agent *agent);

/* --- custody (custody.c): keys that this host's TPM holds, where there are any
 * -------------------------------
 */

LH_MUST lh_err lh_custody_begin(lh_agent *agent);
/* Nothing comes from it any more. Not on the loop. */
void lh_custody_end(lh_agent *agent);
/* A frame of the vault's that is custody's. */
LH_MUST lh_err lh_custody_frame(lh_agent *agent, const lh_link_frame *frame);
/* A request of an application: true where it is answered here. */
bool lh_custody_request(lh_application *application, lh_bytes message);
/* The vault's answer to one passes. */
void lh_custody_answered(lh_application *application, lh_bytes message);
void lh_custody_stream_closed(lh_application *application);
void lh_custody_link_closed(lh_agent *agent);

/* --- the end of a job on another thread: counted, so that the agent ends after them -----------------------
 */

void lh_agent_job_begin(lh_agent *agent);
void lh_agent_job_end(lh_agent *agent);

#endif

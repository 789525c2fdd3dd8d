/* What remote.c (links and their frames), remote_job.c (what is done on threads that may wait) and
 * remote_stream.c (applications' connections) share. */
#ifndef LH_DAEMON_REMOTE_INTERNAL_H
#define LH_DAEMON_REMOTE_INTERNAL_H

#include "daemon/connection.h"
#include "daemon/remote.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>

typedef struct remote_link remote_link;

struct lh_remote {
    lh_server *server;
    pthread_mutex_t mutex;
    pthread_cond_t fewer;
    remote_link *links;
    size_t connections;
};

/* One application's connection on a link. On the link's loop. */
typedef struct remote_stream {
    struct remote_stream *next;
    remote_link *link;
    uint32_t number;
    int fd;     /* our end of the connection's socket */
    int theirs; /* its end, until the vault has taken the stream; else -1 */
    struct event *readable;
    lh_host_stream *host; /* NULL until then */
} remote_stream;

/* A frame that waits for a thread, or is being worked on. */
typedef struct remote_job {
    struct remote_job *next;
    remote_link *link;
    lh_buf frame; /* empty: the last of all, which gives the vault its link back */
    lh_err result;
    lh_err_detail detail;
    lh_buf id_object, encrypted_secret; /* of HELLO */
    lh_host_stream *opened;             /* of OPEN */
} remote_job;

/* A frame that waits to be sent. */
typedef struct remote_frame {
    struct remote_frame *next;
    lh_buf bytes;
} remote_frame;

enum remote_state { REMOTE_NEW, REMOTE_ASKED, REMOTE_ACTIVE, REMOTE_ENDED };

struct remote_link {
    remote_link *next; /* under remote->mutex */
    atomic_int references;
    lh_remote *remote;
    lh_loop *loop;
    lh_net_link channel;
    lh_account account;
    /* On the loop. */
    enum remote_state state;
    int fd;
    struct event *readable;
    struct event *writable;
    struct event *timer; /* until it is active */
    remote_stream *streams;
    size_t stream_count;
    uint32_t last_stream;
    remote_frame *out;
    remote_frame **out_tail;
    size_t out_bytes;
    bool stalled; /* what streams say waits, until the other side takes what was said */
    remote_job *jobs;
    remote_job **jobs_tail;
    size_t job_count, job_bytes;
    bool working; /* a job is on a thread */
    bool full;    /* no frame is read until jobs have been done */
    lh_buf in;
    /* Of the job that runs; on the loop while none does. */
    lh_host_link *host;
};

/* --- remote.c ---------------------------------------------------------------------------------------------
 */

/* On the loop: queue a frame; where that fails, the link ends. */
void lh_remote_send(remote_link *link, enum lh_link_type type, uint32_t stream, const void *value);
/* On the loop: end it, telling the other side why where err is one. */
void lh_remote_end(remote_link *link, lh_err err, const char *reason, const char *message);
void lh_remote_ref(remote_link *link);
void lh_remote_unref(remote_link *link);
/* The last job is done: nothing but references keep it. */
void lh_remote_gone(remote_link *link);
/* Frames are read again, if they were not. */
void lh_remote_resume(remote_link *link);
/* The vault's ways to reach a link. */
void lh_remote_callbacks(remote_link *link, lh_host_link_options *ret);

/* --- remote_job.c -----------------------------------------------------------------------------------------
 */

/* On the loop: have the frame worked on after those before it. */
void lh_remote_submit(remote_link *link, lh_bytes frame);
/* On the loop: nothing waits any more, and the vault gets its link back. */
void lh_remote_finish_jobs(remote_link *link);

/* --- remote_stream.c --------------------------------------------------------------------------------------
 */

/* On the loop. OPEN has come; the vault has taken it, or not; DATA; CLOSE. */
bool lh_remote_stream_begin(remote_link *link, uint32_t number);
void lh_remote_stream_opened(remote_link *link, uint32_t number, lh_host_stream *host_taken);
void lh_remote_stream_refused(remote_link *link, uint32_t number, const char *reason);
void lh_remote_stream_data(remote_link *link, uint32_t number, lh_bytes message);
void lh_remote_stream_close(remote_link *link, uint32_t number, const char *reason);
void lh_remote_streams_close(remote_link *link, const char *reason);
/* What they say is listened to again. */
void lh_remote_streams_resume(remote_link *link);

#endif

/* A daemon that answers admin calls from files, to see what the command line makes of an honest and of a
 * lying one: fake_daemon SOCKET FOLDER; the reply to the call NAME is FOLDER/NAME.json, and each request is
 * appended to FOLDER/requests. Ends when FOLDER/requests can not be opened (the folder is gone), or when
 * killed. */
#include "base/macro.h"
#include "wire/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

static void fail(const char *what)
{
    (void)fprintf(stderr, "fake_daemon: %s: %s\n", what, lh_err_last()->message);
    exit(1);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 8) != 0)
        fail("listen");
    return fd;
}

/* The name of the call, cut out of the JSON text; requests are compact. */
static void call_name(lh_bytes json, char *out, size_t size)
{
    static const char key[] = "\"call\":\"";
    const char *found = memmem(json.data, json.len, key, strlen(key));
    size_t n = 0;
    if (found == NULL)
        fail("a request without a call");
    for (found += strlen(key); *found != '"' && n + 1 < size; found++)
        out[n++] = *found;
    out[n] = '\0';
}

static void read_reply(const char *folder, const char *name, lh_buf *reply)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s.json", folder, name);
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        lh_buf_append_str(reply, "{\"ok\":false,\"error\":{\"code\":\"unsupported\",\"reason\":\"fake\","
                                 "\"message\":\"the fake daemon has no such reply\"}}");
        return;
    }
    char chunk[4096];
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, file)) > 0;)
        lh_buf_append(reply, chunk, n);
    (void)fclose(file);
}

static void note_request(const char *folder, lh_bytes json)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/requests", folder);
    FILE *file = fopen(path, "a");
    if (file == NULL)
        exit(0);
    (void)fwrite(json.data, 1, json.len, file);
    (void)fputc('\n', file);
    (void)fclose(file);
}

/* One request; false when the client has gone. */
static bool serve_one(int fd, const char *folder, lh_buf *message)
{
    lh_message_header header;
    lh_bytes body;
    lh_admin_message request;
    if (!lh_ok(lh_message_recv(fd, 0, message, NULL)))
        return false;
    if (!lh_ok(lh_message_decode(lh_buf_bytes(message), &header, &body)) ||
        !lh_ok(lh_call_decode(&header, body, LH_KIND_ADMIN, LH_WIRE_VERSION_MAX, &request)))
        fail("request");
    char name[64];
    call_name(request.json, name, sizeof name);
    note_request(folder, request.json);
    LH_AUTO(lh_buf_free) lh_buf json = LH_BUF_INIT(LH_WIRE_JSON_MAX);
    LH_AUTO(lh_buf_free) lh_buf answer = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    read_reply(folder, name, &json);
    lh_admin_message reply = {lh_buf_bytes(&json)};
    if (!lh_ok(lh_call_reply(LH_CALL_ADMIN, header.id, &reply, &answer)))
        fail("reply");
    return lh_ok(lh_message_send(fd, lh_buf_bytes(&answer), -1, 0));
}

static void serve(int hello_fd, const char *folder)
{
    LH_AUTO(lh_buf_free) lh_buf message = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    LH_AUTO(lh_buf_free) lh_buf answer = LH_BUF_INIT(LH_LIMIT_MESSAGE);
    lh_message_header header;
    lh_bytes body;
    int pair[2];
    if (!lh_ok(lh_message_recv(hello_fd, 0, &message, NULL)) ||
        !lh_ok(lh_message_decode(lh_buf_bytes(&message), &header, &body)) ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0)
        fail("hello");
    lh_hello_reply reply = {.version = LH_WIRE_VERSION_MAX, .message_limit = LH_LIMIT_MESSAGE};
    if (!lh_ok(lh_call_reply(LH_CALL_HELLO, header.id, &reply, &answer)) ||
        !lh_ok(lh_message_send(hello_fd, lh_buf_bytes(&answer), pair[1], 0)))
        fail("hello's reply");
    (void)close(pair[1]);
    (void)close(hello_fd);
    while (serve_one(pair[0], folder, &message))
        continue;
    (void)close(pair[0]);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    int listener = listen_at(argv[1]);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            serve(fd, argv[2]);
    }
}

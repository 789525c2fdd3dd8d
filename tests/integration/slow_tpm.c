/* A TPM as slow as a chip: hands commands on to a swtpm and keeps the answers to quotes for a while.
 *
 * usage: slow_tpm SWTPM-SOCKET SOCKET MILLISECONDS COUNT-FILE
 * Listens at SOCKET (for everybody) for one client after the other, as swtpm does. COUNT-FILE holds the
 * number of quotes so far, as one byte a quote. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define QUOTE 0x158u /* TPM 2.0 Library Part 2, 6.5.2 */
#define HEADER 10

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    return a;
}

static int listen_at(const char *path)
{
    struct sockaddr_un a = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || chmod(path, 0666) != 0 ||
        listen(fd, 4) != 0)
        return -1;
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un a = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) != 0)
        return -1;
    return fd;
}

static void wait_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

/* A TPM answers one command after the other: at most one is under way. */
static void serve(int client, int tpm, long ms, int count)
{
    unsigned char bytes[8192];
    uint32_t command = 0;
    for (;;) {
        struct pollfd p[2] = {{client, POLLIN, 0}, {tpm, POLLIN, 0}};
        if (poll(p, 2, -1) < 0)
            return;
        if (p[0].revents != 0) {
            ssize_t n = read(client, bytes, sizeof bytes);
            if (n <= 0 || write(tpm, bytes, (size_t)n) != n)
                return;
            if (n >= HEADER && bytes[0] == 0x80)
                command =
                    (uint32_t)bytes[6] << 24 | (uint32_t)bytes[7] << 16 | (uint32_t)bytes[8] << 8 | bytes[9];
        }
        if (p[1].revents != 0) {
            ssize_t n = read(tpm, bytes, sizeof bytes);
            if (n <= 0)
                return;
            if (command == QUOTE) {
                wait_ms(ms);
                if (write(count, "q", 1) != 1)
                    return;
            }
            command = 0;
            if (write(client, bytes, (size_t)n) != n)
                return;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        (void)fprintf(stderr, "usage: slow_tpm SWTPM-SOCKET SOCKET MILLISECONDS COUNT-FILE\n");
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    int count = open(argv[4], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    int listener = listen_at(argv[2]);
    if (count < 0 || listener < 0) {
        perror("slow_tpm");
        return 1;
    }
    int client;
    while ((client = accept(listener, NULL, NULL)) >= 0) {
        int tpm = connect_to(argv[1]);
        if (tpm >= 0)
            serve(client, tpm, strtol(argv[3], NULL, 10), count);
        (void)close(client);
        (void)close(tpm);
    }
    return 1;
}

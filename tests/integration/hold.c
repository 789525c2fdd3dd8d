/* Connections to the daemon, as many as it lets one process have, at most COUNT, until it is
 * killed: hold COUNT. Prints how many there are and the reason for which there is not another one ("-": there
 * are COUNT). */
#include "wire/client.h"
#include "wire/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char path[LH_LIMIT_PATH];
    if (argc != 2 || !lh_ok(lh_path_socket(path, sizeof path)))
        return 125;
    unsigned long count = 0;
    const unsigned long most = strtoul(argv[1], NULL, 10);
    lh_client *client = NULL; /* each is kept */
    while (count < most && lh_ok(lh_client_open(path, LH_KIND_TOKEN, &client)))
        count++;
    (void)printf("%lu %s\n", count, count < most ? lh_err_last()->reason : "-");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

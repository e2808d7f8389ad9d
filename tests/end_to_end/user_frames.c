/* Prints frames, one a line: user_frames SEED COUNT USERS RATE LATE LATE_S (see the header). */
#include "benchmarks/user_frames.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    char frame[USER_FRAME_MAX];
    unsigned long number[6];
    if (argc != 7) {
        fprintf(stderr, "usage: user_frames SEED COUNT USERS RATE LATE LATE_S\n");
        return 2;
    }
    for (int i = 0; i < 6; i++) {
        number[i] = strtoul(argv[i + 1], NULL, 10);
    }
    struct user_frames frames = {.seed = number[0],
                                 .users = (uint32_t)number[2],
                                 .rate = (uint32_t)number[3],
                                 .late = (uint32_t)number[4],
                                 .late_s = (uint32_t)number[5],
                                 .ts = 1468244384};
    for (unsigned long i = 0; i < number[1]; i++) {
        size_t length = user_frames_next(&frames, frame);
        frame[length] = '\n';
        fwrite(frame, 1, length + 1, stdout);
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

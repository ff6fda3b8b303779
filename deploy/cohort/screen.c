#include "deploy/cohort/screen.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Control sequences of ECMA-48, and of the VT220 for the cursor. */
#define HOME        "\033[H"
#define CLEAR_ALL   "\033[2J"
#define CLEAR_RIGHT "\033[K"
#define CLEAR_BELOW "\033[J"
#define CURSOR_OFF  "\033[?25l"
#define CURSOR_ON   "\033[?25h"

static size_t line_cnt(coh_bytes_t text)
{
    size_t cnt = 0;
    for (size_t i = 0; i < text.n; i++) {
        cnt += text.p[i] == '\n';
    }
    return cnt;
}

/* The cursor stays in the last line: an end of line there would scroll. */
void coh_screen_fit(coh_buf_t *out, coh_bytes_t text, unsigned rows, unsigned columns)
{
    size_t cnt   = line_cnt(text);
    size_t shown = rows == 0 || cnt <= rows ? cnt : rows - 1;
    coh_buf_printf(out, HOME);
    size_t at = 0;
    for (size_t i = 0; i < shown; i++) {
        size_t n =
            (size_t)((uint8_t const *)memchr(text.p + at, '\n', text.n - at) - (text.p + at));
        coh_buf_printf(out, "%s", i == 0 ? "" : "\r\n");
        coh_buf_put(out, text.p + at, columns == 0 ? n : COH_MIN(n, (size_t)columns));
        /* In the last column some terminals would clear what was just written there. */
        coh_buf_printf(out, "%s", columns != 0 && n >= columns ? "" : CLEAR_RIGHT);
        at += n + 1;
    }
    if (shown < cnt) {
        char line[64];
        int n = snprintf(line, sizeof(line), "... and %zu lines more", cnt - shown);
        coh_buf_printf(out,
                       "%s%.*s" CLEAR_RIGHT,
                       shown == 0 ? "" : "\r\n",
                       columns == 0 ? n : (int)COH_MIN((unsigned)n, columns - 1),
                       line);
    }
    coh_buf_printf(out, CLEAR_BELOW);
}

static coh_err_t put(coh_bytes_t text)
{
    return fwrite(text.p, 1, text.n, stdout) == text.n && fflush(stdout) == 0 ? COH_OK : COH_EIO;
}

coh_err_t coh_screen_open(void)
{
    return put(coh_bytes(CURSOR_OFF CLEAR_ALL, sizeof(CURSOR_OFF CLEAR_ALL) - 1));
}

coh_err_t coh_screen_show(coh_bytes_t text)
{
    struct winsize size = {0};
    (void)ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    coh_buf_t out = COH_BUF_INIT;
    coh_screen_fit(&out, text, size.ws_row, size.ws_col);
    coh_err_t rc = put(coh_buf_bytes(&out));
    coh_buf_free(&out);
    return rc;
}

coh_err_t coh_screen_close(void)
{
    return put(coh_bytes("\r\n" CURSOR_ON, sizeof("\r\n" CURSOR_ON) - 1));
}

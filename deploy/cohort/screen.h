/* screen.h: a picture of text on a terminal, each written over the last one, and cut to the window: nothing scrolls or flickers.

   coh_screen_open ─▶ coh_screen_show, once a picture ─▶ coh_screen_close: the last picture stays, and the cursor stands below it */
#ifndef COH_SCREEN_H
#define COH_SCREEN_H

#include "common/base/buf.h"
#include "common/base/err.h"

/* coh_screen_fit appends what is to be written to a window of so many rows and columns (0: not known, so uncut) to make it show text: ASCII lines, each with its end. Where there are
   more lines than rows the last one says how many are missing. */
void coh_screen_fit(coh_buf_t *out, coh_bytes_t text, unsigned rows, unsigned columns);

/* All three return COH_EIO if standard output, which is a terminal, cannot be written to. */
coh_err_t coh_screen_open(void);
coh_err_t coh_screen_show(coh_bytes_t text);
coh_err_t coh_screen_close(void);

#endif

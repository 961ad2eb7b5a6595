#!/nodejs/bin/node
// The command `sidebearer` of the image, for `kubectl exec POD -- sidebearer status`: without a shell and without
// /usr/bin/env nothing else makes the bundle a command on PATH. It must not hold logic.
import '/app/sidebearer.js';

# Freezes the phone into a MicroPython of one's own, for this board:
#
#   make -C ports/esp32 BOARD=ESP32_GENERIC_S3 FROZEN_MANIFEST=…/boards/esp32_generic_s3/manifest.py
#
# What is data stays in the file system: board.json, root.der, build.json (docs/boards.md).
include("$(PORT_DIR)/boards/manifest.py")
package("ras", base_path="../../firmware")
package("tlspsk", base_path="../../firmware")
package("phone", base_path="../../firmware")
package("drivers", base_path="../../firmware")
module("main.py", base_path="../../firmware")

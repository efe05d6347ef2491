#!/usr/bin/env bash
# Gets what WebGPU needs on a Debian machine without a GPU: the Vulkan loader, and Mesa's software driver in a version that
# Dawn accepts, unpacked into .cache/vulkan. The system keeps the driver that it has.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$PWD/.cache/vulkan
[ -e "$folder/driver.json" ] && exit 0

apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libvulkan1 libllvm15 > /dev/null

rm -rf "$folder"
mkdir -p "$folder"/apt/lists/partial "$folder"/apt/archives/partial
echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main' \
  > "$folder/apt/sources.list"
apt=(apt-get -qq
  -o Dir::Etc::sourcelist="$folder/apt/sources.list" -o Dir::Etc::sourceparts=-
  -o Dir::State::lists="$folder/apt/lists" -o Dir::Cache="$folder/apt" -o APT::Sandbox::User=root)
"${apt[@]}" update
(cd "$folder/apt" && "${apt[@]}" download mesa-vulkan-drivers)
dpkg-deb -x "$folder"/apt/mesa-vulkan-drivers_*.deb "$folder/root"
library=$(find "$folder/root" -name libvulkan_lvp.so)
printf '{"ICD": {"api_version": "1.4.305", "library_path": "%s"}, "file_format_version": "1.0.0"}\n' "$library" \
  > "$folder/driver.json"
rm -rf "$folder/apt"

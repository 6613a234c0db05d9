# CPU:  docker build -t drsc .
# CUDA: docker build -t drsc --build-arg TORCH=cu130 .   (run it with --gpus all)
FROM python:3.12-slim-bookworm

# OpenCV's wheel loads the last two.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /drsc
ARG TORCH=cpu
COPY Makefile requirements.txt ./
COPY utils/tools/install_torch.py utils/tools/
RUN make .venv/.ready TORCH=${TORCH} PYTHON=python3 && rm -rf /root/.cache

COPY . .
ENV PATH=/drsc/.venv/bin:$PATH MPLCONFIGDIR=/tmp
CMD ["make", "demo"]

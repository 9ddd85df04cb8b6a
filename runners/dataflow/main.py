"""What a Flex Template's launcher runs: the job of the request, as a pipeline."""

from pipelinekit.launch.dataflow import main

if __name__ == "__main__":
    main()

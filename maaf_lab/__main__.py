from maaf_lab.cli import main

main()

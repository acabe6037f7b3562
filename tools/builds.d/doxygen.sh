# what: documentation by doxygen
# packages: doxygen
mkdir stage
printf 'PROJECT_NAME=%s\nINPUT=.\nOUTPUT_DIRECTORY=stage\nGENERATE_LATEX=NO\nEXTRACT_ALL=YES\nHTML_TIMESTAMP=YES\n' x >stage.cfg
doxygen stage.cfg
